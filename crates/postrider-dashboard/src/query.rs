//! Filters in URLs: a view is its address, so that it can be shared. Read here, and written again for links.

use postrider_core::audit::Action;
use postrider_core::delivery::Status;
use postrider_core::time::Timestamp;
use postrider_engine::{DeliveryFilter, EventFilter, PageRequest};
use url::form_urlencoded::Serializer;

use crate::form::Fields;
use crate::visit::Scope;

/// How many rows a page of a list has.
pub(crate) const ROWS: usize = 50;

/// The filters of a list as its address has them.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// Name and text of each filter that is set.
    given: Vec<(&'static str, String)>,
    /// Where the page begins, behind the newest.
    pub(crate) before: Option<i64>,
    /// What can't be read, in words.
    pub(crate) faults: Vec<String>,
    /// Whether older rows follow those that are shown, of which there may be none: a page looks at a bounded number of rows.
    pub(crate) more: bool,
}

const NAMES: [&str; 9] =
    ["account", "endpoint", "event", "type", "mode", "status", "action", "since", "until"];

impl Filters {
    pub(crate) fn read(fields: &Fields) -> Self {
        let given = NAMES.iter().filter_map(|name| Some((*name, fields.given(name)?.to_owned()))).collect();
        let before = fields.given("before").and_then(|text| text.parse().ok());
        Self { given, before, faults: Vec::new(), more: false }
    }

    /// A filter's text; empty where it is not set.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.given.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The same view with one filter changed (empty: without it), from its beginning.
    pub(crate) fn with(&self, name: &str, text: &str) -> String {
        let mut query = Serializer::new(String::new());
        let others = self.given.iter().filter(|(known, _)| *known != name);
        query.extend_pairs(others.map(|(known, text)| (*known, text.as_str())));
        if !text.is_empty() {
            query.append_pair(name, text);
        }
        query.finish()
    }

    /// The same view, without its place in the list.
    pub(crate) fn query(&self) -> String {
        self.with("before", "")
    }

    pub(crate) fn page(&self) -> PageRequest {
        PageRequest { limit: ROWS, before: self.before }
    }

    /// The filter that a visitor's view of the deliveries comes to.
    pub(crate) fn deliveries(&mut self, scope: Scope) -> DeliveryFilter {
        DeliveryFilter {
            account: scope.account().or_else(|| self.parsed("account", "an account’s id, such as acc_…")),
            endpoint: self.parsed("endpoint", "an endpoint’s id, such as ep_…"),
            event: self.parsed("event", "an event’s guid of 32 hex digits"),
            event_type: self.text("type"),
            livemode: scope.livemode().or_else(|| self.mode()),
            status: self.status(),
            since: self.time("since"),
            until: self.time("until"),
        }
    }

    /// The filter that a visitor's view of the events comes to.
    pub(crate) fn events(&mut self, scope: Scope) -> EventFilter {
        EventFilter {
            account: scope.account().or_else(|| self.parsed("account", "an account’s id, such as acc_…")),
            event_type: self.text("type"),
            livemode: scope.livemode().or_else(|| self.mode()),
            since: self.time("since"),
            until: self.time("until"),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        Some(self.get(name).to_owned()).filter(|text| !text.is_empty())
    }

    pub(crate) fn mode(&mut self) -> Option<bool> {
        self.judged("mode", "live or test", |text| match text {
            "live" => Some(true),
            "test" => Some(false),
            _ => None,
        })
    }

    pub(crate) fn status(&mut self) -> Option<Status> {
        let known = Status::ALL.map(Status::as_str).join(", ");
        self.judged("status", &format!("one of {known}"), Status::from_text)
    }

    pub(crate) fn action(&mut self) -> Option<Action> {
        self.judged("action", "an action’s name, such as endpoint.updated", Action::from_text)
    }

    /// A time as RFC 3339, or as a browser's field for times gives it, in UTC.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.judged(name, "a time in UTC such as 2026-11-25T14:30", read_time)
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, right: &str) -> Option<T> {
        self.judged(name, right, |text| text.parse().ok())
    }

    /// Reads a filter that is set; notes a fault where it can't be read.
    fn judged<T>(&mut self, name: &str, right: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let read = read(&text);
        if read.is_none() {
            let shown: String = text.chars().take(80).collect();
            self.faults.push(format!("{name} is “{shown}”; it can be {right}"));
        }
        read
    }
}

/// A time as RFC 3339, or without its zone, which is UTC then.
pub(crate) fn read_time(text: &str) -> Option<Timestamp> {
    let with_zone = |end: &str| format!("{text}{end}").parse();
    text.parse()
        .or_else(|_| with_zone("Z"))
        .or_else(|_| with_zone(":00Z"))
        .or_else(|_| with_zone("T00:00:00Z"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::id::AccountId;

    fn filters(query: &str) -> Filters {
        Filters::read(&Fields::parse(query.as_bytes()))
    }

    #[test]
    fn a_view_is_its_address() {
        let query = "type=policy.created&status=exhausted&since=2026-11-25T14%3A30";
        let mut read = filters(&format!("{query}&before=77&unknown=1&mode="));
        assert_eq!((read.query().as_str(), read.before), (query, Some(77)));
        let filter = read.deliveries(Scope::Operator);
        assert_eq!(filter.status, Some(Status::Exhausted));
        assert_eq!(filter.since, "2026-11-25T14:30:00Z".parse().ok());
        assert!(read.faults.is_empty());
        assert_eq!(read.with("status", ""), "type=policy.created&since=2026-11-25T14%3A30");
    }

    #[test]
    fn what_can_t_be_read_is_said_and_left_out() {
        let mut read = filters("account=x&endpoint=y&event=z&mode=maybe&status=lost&since=soon");
        let filter = read.deliveries(Scope::Operator);
        assert!(filter.account.is_none() && filter.status.is_none());
        assert_eq!(read.faults.len(), 6, "{:?}", read.faults);
    }

    #[test]
    fn a_customer_s_account_and_mode_are_not_the_address_s_to_choose() {
        let (own, other) = (AccountId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
        let scope = Scope::Customer { account: own, livemode: Some(false) };
        let filter = filters(&format!("account={other}&mode=live")).deliveries(scope);
        assert_eq!((filter.account, filter.livemode), (Some(own), Some(false)));
        let filter = filters(&format!("account={other}&mode=live")).events(scope);
        assert_eq!((filter.account, filter.livemode), (Some(own), Some(false)));
    }
}
