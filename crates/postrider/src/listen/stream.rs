//! Reads server-sent events (the WHATWG's "Server-sent events") out of the pieces of a body.

/// The longest event that is taken: lines of the service's are far below.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its place in the stream, where it has one.
    pub(super) id: Option<String>,
    pub(super) event: String,
    pub(super) data: String,
}

/// An event is longer than is taken.
#[derive(Debug, thiserror::Error)]
#[error("an event of the stream is longer than {MAX_EVENT_BYTES} bytes; is this the service's stream?")]
pub(super) struct TooLong;

/// What of an event is there so far.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The line that is not complete yet.
    line: Vec<u8>,
    id: Option<String>,
    event: String,
    data: Vec<String>,
    /// How long the event is so far.
    bytes: usize,
}

impl Parser {
    /// Takes the next piece, and gives the events that it completes.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut complete = Vec::new();
        for &byte in piece {
            if byte != b'\n' {
                self.bytes += 1;
                if self.bytes > MAX_EVENT_BYTES {
                    return Err(TooLong);
                }
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            if line.is_empty() {
                complete.extend(self.complete());
            } else {
                self.take(&line);
            }
        }
        Ok(complete)
    }

    fn take(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event),
            "data" => self.data.push(value.to_owned()),
            // A comment, or what a client may ignore.
            _ => {}
        }
    }

    /// The event that ends here; none where it has no data.
    fn complete(&mut self) -> Option<Message> {
        let Self { id, event, data, .. } = std::mem::take(self);
        (!data.is_empty()).then(|| Message { id, event, data: data.join("\n") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_stream_is_cut() {
        let text = "retry: 2000\n\n: still here\n\nid: 1-2-3\nevent: attempt\ndata: {\"a\":\"é\"}\r\n\r\ndata: x\ndata:y\n\n";
        let message = |id: Option<&str>, event: &str, data: &str| Message {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        };
        let wanted = [message(Some("1-2-3"), "attempt", "{\"a\":\"é\"}"), message(None, "", "x\ny")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let pieces = text.as_bytes().chunks(size);
            let found: Vec<Message> = pieces.flat_map(|piece| parser.feed(piece).unwrap()).collect();
            assert_eq!(found, wanted, "pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        assert!(parser.feed(&vec![b'x'; MAX_EVENT_BYTES]).is_ok());
        assert!(parser.feed(b"x").is_err());
    }
}
