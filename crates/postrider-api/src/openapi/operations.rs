//! Every operation of the surface, in the order in which the description shows them.

use postrider_core::audit::Action;
use serde_json::{Value, json};

use super::describe::{Access, Operation, operation};

fn id(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{prefix}[0-9a-f]{{32}}$") })
}

fn account_id() -> Value {
    json!({ "type": "string", "pattern": "^acc_([0-9a-f]{32}|operator)$" })
}

fn type_name() -> Value {
    json!({
        "type": "string", "maxLength": 128,
        "pattern": "^[a-zA-Z0-9_-]+(\\.[a-zA-Z0-9_-]+)*$",
    })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn all() -> Vec<Operation> {
    [accounts(), endpoints(), event_types(), events(), deliveries(), replays(), service()]
        .into_iter()
        .flatten()
        .collect()
}

fn accounts() -> Vec<Operation> {
    let (tag, path) = ("Accounts", "/v1/accounts/{id}");
    let of = |operation: Operation| operation.access(Access::Operator).of("The account", account_id());
    vec![
        operation("get", "/v1/accounts", "listAccounts", tag, "Accounts, newest first")
            .access(Access::Operator)
            .pages('a')
            .lists("Account"),
        operation("post", "/v1/accounts", "createAccount", tag, "Make an account")
            .once()
            .about("Its keys are shown in this answer alone.")
            .access(Access::Operator)
            .takes("AccountInput")
            .gives(201, "Made", "AccountCreated"),
        of(operation("get", path, "getAccount", tag, "An account")).gives(200, "The account", "Account"),
        of(operation("patch", path, "renameAccount", tag, "Rename an account"))
            .takes("AccountInput")
            .or(&[409])
            .gives(200, "Renamed", "Account"),
        of(operation("delete", path, "deleteAccount", tag, "Delete an account"))
            .about("Its endpoints and keys go with it, and what is pending is cancelled; the log stays.")
            .or(&[409])
            .gives_nothing("Deleted"),
        of(operation("get", "/v1/accounts/{id}/keys", "listKeys", tag, "An account's keys, newest first"))
            .about("The keys themselves are shown when they are made, never again.")
            .pages('k')
            .lists("Key"),
        of(operation("post", "/v1/accounts/{id}/keys", "createKey", tag, "Issue a further key"))
            .once()
            .about("The key is shown in this answer alone.")
            .takes("KeyInput")
            .or(&[409])
            .gives(201, "Issued", "KeyCreated"),
        of(operation("post", "/v1/accounts/{id}/portal-links", "createPortalLink", tag, "Make a customer's way in"))
            .once()
            .about(
                "A path that opens the portal of this account, without a key, until it expires (after an hour, unless \
                 `expires_in_seconds` says otherwise) or is revoked. It is shown in this answer alone.",
            )
            .may_take("PortalLinkInput")
            .or(&[409])
            .gives(201, "Made", "PortalLink"),
        of(operation(
            "delete",
            "/v1/accounts/{id}/portal-links/{link}",
            "revokePortalLink",
            tag,
            "Revoke a customer's way in",
        ))
        .and_of("link", "The link", id("lnk_"))
        .gives_nothing("Revoked"),
        operation("delete", "/v1/keys/{id}", "revokeKey", tag, "Revoke a key")
            .about("It stops at once.")
            .access(Access::Operator)
            .of("The key's name", id("key_"))
            .gives_nothing("Revoked"),
    ]
}

fn endpoints() -> Vec<Operation> {
    let (tag, path) = ("Endpoints", "/v1/endpoints/{id}");
    let of = |operation: Operation| operation.of("The endpoint", id("ep_"));
    let by_hand = |method: &'static str, path, name, summary| {
        of(operation(method, path, name, tag, summary)).may_take("Nothing").or(&[409]).gives(
            200,
            "The endpoint",
            "Endpoint",
        )
    };
    vec![
        operation("get", "/v1/endpoints", "listEndpoints", tag, "Endpoints, newest first")
            .bounds()
            .query("state", "In this state", json!({ "enum": ["enabled", "paused", "disabled"] }))
            .pages('p')
            .lists("Endpoint"),
        operation("post", "/v1/endpoints", "createEndpoint", tag, "Make an endpoint")
            .once()
            .about("The answer holds its secret, here and never again. Account and mode are implied by an account's key.")
            .takes("EndpointInput")
            .or(&[403, 409])
            .gives(201, "Made", "EndpointCreated"),
        of(operation("get", path, "getEndpoint", tag, "An endpoint as it stands"))
            .gives(200, "The endpoint", "Endpoint"),
        of(operation("patch", path, "changeEndpoint", tag, "Change an endpoint"))
            .about(
                "What is left out stays, also where somebody else changes it at that moment; `null` means the default. The \
                 next attempt goes by it. 409 where others change it again and again meanwhile.",
            )
            .takes("EndpointChange")
            .or(&[409])
            .gives(200, "Changed", "Endpoint"),
        of(operation("delete", path, "deleteEndpoint", tag, "Delete an endpoint"))
            .about("What is pending is cancelled; the log stays.")
            .gives_nothing("Deleted"),
        of(operation("get", "/v1/endpoints/{id}/secret", "getSecret", tag, "Reveal an endpoint's secret"))
            .access(Access::Operator)
            .about("During the overlap of a rotation it shows both secrets.")
            .gives(200, "The secret", "Secret"),
        of(operation("post", "/v1/endpoints/{id}/secret/rotate", "rotateSecret", tag, "Give it another secret"))
            .about(
                "Until the overlap ends (24 hours, unless `overlap_seconds` says otherwise), the signature header is made \
                 with the old secret, a second one, `…Signature-Next`, with the new, and `webhook-signature` carries both. \
                 409 while an overlap runs. The answer holds the new secret.",
            )
            .access(Access::Operator)
            .may_take("Rotation")
            .or(&[409])
            .gives(200, "Rotated", "EndpointCreated"),
        of(operation("delete", "/v1/endpoints/{id}/secret/overlap", "endOverlap", tag, "End an overlap at once"))
            .about("The new secret takes over now. 409 where no overlap runs.")
            .access(Access::Operator)
            .or(&[409])
            .gives_nothing("The new secret alone signs"),
        of(operation("post", "/v1/endpoints/{id}/test", "testEndpoint", tag, "Send it an example"))
            .once()
            .refuses_loops()
            .about(
                "Queues the example of an event type, in the endpoint's mode, to this endpoint alone, whatever it \
                 subscribed. Without `event_type` it is the first type that it subscribed. 409 where it is disabled.",
            )
            .may_take("Test")
            .or(&[409])
            .gives(202, "Accepted", "Accepted"),
        by_hand("post", "/v1/endpoints/{id}/pause", "pauseEndpoint", "Hold its deliveries"),
        by_hand("post", "/v1/endpoints/{id}/resume", "resumeEndpoint", "Send a paused one's deliveries again"),
        by_hand("post", "/v1/endpoints/{id}/enable", "enableEndpoint", "Send again, with fresh health"),
        by_hand("post", "/v1/endpoints/{id}/disable", "disableEndpoint", "Hold its deliveries until it is enabled"),
    ]
}

fn event_types() -> Vec<Operation> {
    let tag = "Event types";
    vec![
        operation("get", "/v1/event-types", "listEventTypes", tag, "What can be handed in and subscribed")
            .about(
                "The contract's types first, then those that the operator added, archived ones among them. An archived type \
                 takes no new events and no new subscriptions.",
            )
            .pages('t')
            .lists("EventType"),
        operation("post", "/v1/event-types", "createEventType", tag, "Add an event type")
            .once()
            .about(
                "Events of it are taken from now on, and judged by `schema`, a JSON Schema (2020-12) that refers to nothing \
                 outside of itself; without one, or with `validation` off, any object passes. The example must fit the \
                 schema. 409 where there is a type of this name, or as many as there may be.",
            )
            .access(Access::Operator)
            .takes("EventTypeInput")
            .gives(201, "Added", "EventType"),
        operation("get", "/v1/event-types/{id}", "getEventType", tag, "An event type")
            .of("Its name", type_name())
            .gives(200, "The event type", "EventType"),
        operation("patch", "/v1/event-types/{id}", "changeEventType", tag, "Change an event type")
            .about(
                "What is left out stays; `null` means what comes with the service, or nothing. The next event is judged by \
                 it. A schema that would reject the type's own example is refused: give both. `archived` puts a type out of \
                 use, and back; what was accepted before is sent, shown and resent as ever. 409 for a type that the service \
                 raises itself, or where somebody else changed it at the same moment.",
            )
            .access(Access::Operator)
            .of("Its name", type_name())
            .takes("EventTypeChange")
            .or(&[409])
            .gives(200, "Changed", "EventType"),
    ]
}

fn events() -> Vec<Operation> {
    let tag = "Events";
    let of = |operation: Operation| operation.of("The event's guid", id(""));
    vec![
        operation("post", "/v1/events", "createEvent", tag, "Hand in an event")
            .once()
            .refuses_loops()
            .about(
                "202 says that the event and all its deliveries are durable. The payload is delivered byte for byte. An event \
                 answered with 503 `unavailable` may have been stored; see **Unknown outcomes** above.",
            )
            .takes("EventInput")
            .or(&[403])
            .gives(202, "Accepted, durable and routed", "Accepted"),
        operation("post", "/v1/events/batch", "createEvents", tag, "Hand in up to 1,000 events, all or nothing")
            .once()
            .refuses_loops()
            .takes("BatchInput")
            .or(&[403])
            .gives(202, "All accepted, in their order", "BatchAccepted"),
        operation("get", "/v1/events", "listEvents", tag, "Events, newest first, without their payloads")
            .bounds()
            .query("type", "Of this event type", type_name())
            .query("since", "Accepted at or after", time())
            .query("until", "Accepted before", time())
            .pages('e')
            .lists("Event"),
        of(operation("get", "/v1/events/{id}", "getEvent", tag, "An event with its payload"))
            .gives(200, "The event", "EventWithPayload"),
        of(operation("get", "/v1/events/{id}/payload", "getPayload", tag, "An event's payload, its exact bytes"))
            .gives_as(200, "The payload as it was handed in", "application/json", json!({ "type": "object" })),
        of(operation("get", "/v1/events/{id}/routing", "getRouting", tag, "Where it would go today, and why"))
            .gives(200, "What each endpoint of the account that the key sees makes of it", "Routing"),
    ]
}

fn filtered(operation: Operation) -> Operation {
    operation
        .bounds()
        .query("endpoint", "To this endpoint", id("ep_"))
        .query("event", "Of this event", id(""))
        .query("type", "Of this event type", type_name())
        .query(
            "status",
            "With this status",
            json!({ "enum": ["pending", "delivered", "exhausted", "cancelled"] }),
        )
        .query("since", "Accepted at or after", time())
        .query("until", "Accepted before", time())
}

fn deliveries() -> Vec<Operation> {
    let tag = "Deliveries";
    let of = |operation: Operation| operation.of("The delivery", id("dlv_"));
    let stream = operation("get", "/v1/deliveries/stream", "followDeliveries", tag, "Attempts as they end");
    vec![
        filtered(operation("get", "/v1/deliveries", "listDeliveries", tag, "Deliveries, newest first"))
            .pages('d')
            .lists("Delivery"),
        filtered(stream)
            .about(
                "Server-sent events: one named `attempt` for each finished attempt, with a `StreamedAttempt` as its data, \
                 and one named `end` where the service ends the stream. `Last-Event-ID` goes on from the log.",
            )
            .header(
                "Last-Event-ID",
                "The id of the last event that was seen",
                json!({ "type": "string", "pattern": "^[0-9a-f]{1,11}-[0-9a-f]{1,11}-[0-9a-f]{1,4}$" }),
            )
            .gives_as(200, "A stream that goes on", "text/event-stream", json!({ "type": "string" })),
        of(operation("get", "/v1/deliveries/{id}", "getDelivery", tag, "A delivery with its attempts"))
            .gives(200, "The delivery", "DeliveryWithAttempts"),
        of(operation("post", "/v1/deliveries/{id}/resend", "resendDelivery", tag, "Send a finished one again"))
            .once()
            .refuses_loops()
            .about("Makes a new delivery with the same guid and a full schedule.")
            .may_take("Nothing")
            .or(&[409])
            .gives(202, "The new delivery", "Delivery"),
        of(operation("post", "/v1/deliveries/{id}/cancel", "cancelDelivery", tag, "Cancel a pending one"))
            .about("It is not tried again. A request that is in flight ends by itself, and its attempt is logged.")
            .may_take("Nothing")
            .or(&[409])
            .gives(200, "The delivery", "Delivery"),
    ]
}

fn replays() -> Vec<Operation> {
    let tag = "Replays";
    let of = |operation: Operation| operation.of("The replay", id("rpl_"));
    vec![
        operation("get", "/v1/replays", "listReplays", tag, "Replays, newest first")
            .bounds()
            .query("endpoint", "Of this endpoint", id("ep_"))
            .pages('r')
            .lists("Replay"),
        operation(
            "post",
            "/v1/replays",
            "createReplay",
            tag,
            "Send a range of an endpoint's deliveries again",
        )
        .once()
        .refuses_loops()
        .about("With `dry_run` nothing is made, and nothing kept: the answer says what it would come to.")
        .takes("ReplayInput")
        .or(&[403, 404, 409])
        .gives(200, "What it would come to (`dry_run`)", "ReplayCount")
        .gives(201, "Made; it runs by itself from here on", "Replay"),
        of(operation("get", "/v1/replays/{id}", "getReplay", tag, "A replay with its progress")).gives(
            200,
            "The replay",
            "Replay",
        ),
        of(operation("post", "/v1/replays/{id}/cancel", "cancelReplay", tag, "End a running replay"))
            .may_take("Nothing")
            .or(&[409])
            .gives(200, "The replay", "Replay"),
    ]
}

fn service() -> Vec<Operation> {
    let tag = "Service";
    let open = |operation: Operation| operation.access(Access::Open);
    vec![
        open(operation("get", "/healthz", "isAlive", tag, "Whether the process is alive"))
            .gives(200, "It is", "Status"),
        open(operation("get", "/readyz", "isReady", tag, "Whether events can be accepted"))
            .gives(200, "They can", "Status"),
        operation("get", "/v1/audit", "listAudit", tag, "Who did what, newest first")
            .about("Every change and every look at a secret, for 400 days. docs/operations.md lists the actions.")
            .access(Access::Operator)
            .query("account", "Of this account", account_id())
            .query("action", "Of this action", json!({ "enum": Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>() }))
            .query("since", "Done at or after", time())
            .query("until", "Done before", time())
            .pages('u')
            .lists("AuditEntry"),
        operation("get", "/v1/nodes", "listNodes", tag, "The nodes that serve from this store")
            .about("Each start of a process is a node of its own. On SQLite there is one.")
            .access(Access::Operator)
            .lists("Node"),
        operation("get", "/metrics", "getMetrics", tag, "Figures for Prometheus")
            .about("docs/operations.md tells what to alert on.")
            .access(Access::Operator)
            .gives_as(200, "The text format, version 0.0.4", "text/plain", json!({ "type": "string" })),
        open(operation("get", "/openapi.json", "getDescription", tag, "This description")).gives_as(
            200,
            "OpenAPI 3.1",
            "application/json",
            json!({ "type": "object" }),
        ),
        open(operation("get", "/docs", "getPage", tag, "The same for people to read")).gives_as(
            200,
            "A page",
            "text/html",
            json!({ "type": "string" }),
        ),
    ]
}
