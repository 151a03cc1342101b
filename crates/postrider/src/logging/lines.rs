//! Log lines on their way out: one bounded buffer that everyone appends to, and one thread that writes it.
//!
//! Appending costs a lock and a copy. After a pause a line is written at once; under load, what has gathered is written
//! every [`PAUSE`], and warnings and errors without waiting for it. Where the reader can't keep up, lines are dropped,
//! counted, and told of.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes of lines may wait to be written.
const WAITING_BYTES: usize = 4 * 1024 * 1024;
/// From this on, what waits is written without a pause.
const MUCH: usize = WAITING_BYTES / 4;
/// How long lines gather under load.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the end of the process waits for a reader that does not take the last lines.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Hands lines to the thread that writes them.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

/// Writes what waits when it is dropped.
pub(crate) struct LinesGuard(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Wakes the thread.
    wake: Condvar,
    /// Wakes whoever waits for the thread's end.
    ended: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that found no room since this was last told.
    dropped: u64,
    /// Something must not wait for the pause to end.
    urgent: bool,
    closed: bool,
    ended: bool,
}

impl Waiting {
    fn must_go(&self) -> bool {
        self.urgent || self.closed || self.bytes.len() >= MUCH
    }
}

/// Starts the thread that writes to `out`. `tell_dropped` is called on it with a number of lines that were dropped.
pub(super) fn start(
    out: impl Write + Send + 'static,
    tell_dropped: impl Fn(u64) + Send + 'static,
) -> io::Result<(Lines, LinesGuard)> {
    let shared = Arc::new(Shared { waiting: Mutex::default(), wake: Condvar::new(), ended: Condvar::new() });
    let its = shared.clone();
    std::thread::Builder::new().name("log".to_owned()).spawn(move || its.run(out, tell_dropped))?;
    Ok((Lines(shared.clone()), LinesGuard(shared)))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change under the lock is a whole one.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > WAITING_BYTES {
            waiting.dropped += 1;
            return;
        }
        let (was_empty, had_to_go) = (waiting.bytes.is_empty(), waiting.must_go());
        waiting.bytes.extend_from_slice(line);
        waiting.urgent |= urgent;
        let wake = was_empty || (!had_to_go && waiting.must_go());
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
    }

    fn run(&self, mut out: impl Write, tell_dropped: impl Fn(u64)) {
        let mut going_out = Vec::new();
        let mut written_at: Option<Instant> = None;
        while let Some(dropped) = self.take(&mut going_out, written_at) {
            // There is nowhere to say that the log can't be written.
            drop(out.write_all(&going_out).and_then(|()| out.flush()));
            going_out.clear();
            written_at = Some(Instant::now());
            if dropped > 0 {
                tell_dropped(dropped);
            }
        }
        self.lock().ended = true;
        self.ended.notify_all();
    }

    /// Waits for lines whose time has come and takes them, with the number of those that were dropped; none at the end.
    fn take(&self, going_out: &mut Vec<u8>, written_at: Option<Instant>) -> Option<u64> {
        let mut waiting = self.lock();
        loop {
            if waiting.bytes.is_empty() {
                if waiting.closed {
                    return None;
                }
                waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let pause = written_at.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()));
            if pause.is_zero() || waiting.must_go() {
                std::mem::swap(&mut waiting.bytes, going_out);
                waiting.urgent = false;
                return Some(std::mem::take(&mut waiting.dropped));
            }
            waiting = self.wake.wait_timeout(waiting, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One line on its way into the buffer.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.0.append(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, urgent: false }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, urgent: *about.level() <= Level::WARN }
    }
}

impl Drop for LinesGuard {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        self.0.wake.notify_one();
        let end = Instant::now() + LAST_WRITE;
        while !waiting.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = self.0.ended.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Hands on what it is given, and takes the next only when it is told to.
    struct Slow {
        out: Sender<Vec<u8>>,
        go_on: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.out.send(bytes.to_vec()));
            self.go_on.recv().unwrap_or_default();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Hands on what it is given.
    struct Quick(Sender<Vec<u8>>);

    impl Write for Quick {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.0.send(bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say(lines: &Lines, line: &str) {
        lines.make_writer().write_all(line.as_bytes()).expect("a buffer takes it");
    }

    #[test]
    fn every_line_comes_out_whole_once_and_in_order() {
        let (out, written) = channel();
        let (lines, guard) = start(Quick(out), |_| ()).expect("a thread");
        let all: Vec<String> = (0..1_000).map(|number| format!("line {number}\n")).collect();
        for line in &all {
            say(&lines, line);
        }
        drop(guard);
        let came: Vec<u8> = written.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(came).expect("text"), all.concat());
    }

    #[test]
    fn a_reader_that_hangs_holds_nobody_up_and_what_was_dropped_is_told() {
        let ((out, written), (go_on, going_on), (told, tells)) = (channel(), channel(), channel());
        let slow = Slow { out, go_on: going_on };
        let (lines, guard) =
            start(slow, move |dropped| told.send(dropped).unwrap_or_default()).expect("a thread");
        say(&lines, "the first\n");
        assert_eq!(written.recv().expect("the thread writes"), b"the first\n", "after a pause at once");
        let line = format!("{}\n", "x".repeat(1_023));
        let (room, more) = (WAITING_BYTES / line.len(), 7);
        for _ in 0..room + more {
            say(&lines, &line);
        }
        go_on.send(()).expect("the thread waits");
        assert_eq!(written.recv().expect("the thread writes").len(), WAITING_BYTES);
        go_on.send(()).expect("the thread waits");
        assert_eq!(tells.recv().expect("it is told"), u64::try_from(more).expect("small"));
        drop((go_on, guard));
    }

    #[test]
    fn an_error_does_not_wait_for_the_pause() {
        let waiting = |urgent| Waiting { bytes: b"line\n".to_vec(), urgent, ..Waiting::default() };
        let shared = |urgent| Shared {
            waiting: Mutex::new(waiting(urgent)),
            wake: Condvar::new(),
            ended: Condvar::new(),
        };
        let mut taken = Vec::new();
        let began = Instant::now();
        assert_eq!(shared(true).take(&mut taken, Some(began)), Some(0));
        let at_once = began.elapsed();
        assert_eq!(taken, b"line\n");
        taken.clear();
        let began = Instant::now();
        assert_eq!(shared(false).take(&mut taken, Some(began)), Some(0));
        assert!(began.elapsed() >= PAUSE && at_once < began.elapsed());
    }
}
