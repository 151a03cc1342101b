//! The event types as they are stored: whether each can be used, and whether its schema is within the bounds of new ones.

use postrider_core::catalogue::{Catalogue, Definition};

use super::findings::Findings;

/// Compiles every schema as the service does at its start.
pub(super) fn examine(definitions: Vec<Definition>, findings: &mut Findings) {
    let count = definitions.len();
    let (catalogue, left_out) = Catalogue::new(definitions);
    for (name, why) in &left_out {
        let advice =
            "the type is left out and its events are 422: give it another schema with PATCH /v1/event-types";
        findings.warning("event types", format!("{name} can't be used: {why}"), advice);
    }
    let mut exceeds = false;
    for event_type in catalogue.all() {
        for bound in event_type.exceeded_bounds() {
            exceeds = true;
            findings.warning(
                "event types",
                format!("{}: the schema at \"{}\" {}", event_type.name(), bound.pointer, bound.detail),
                "it was stored before this bound and stays in force; payloads that are too expensive to check by it are 422",
            );
        }
    }
    if left_out.is_empty() && !exceeds && count > 0 {
        findings.good("event types", format!("{count} added or changed, all of them within the bounds"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::time::Timestamp;

    fn stored(name: &str, schema: &str) -> Definition {
        let at = Timestamp::from_ms(1_500_381_476_000);
        Definition {
            name: name.to_owned(),
            description: None,
            schema: Some(schema.to_owned()),
            example: None,
            validation: true,
            archived: false,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn a_schema_that_exceeds_a_newer_bound_is_named_and_one_that_is_none_too() {
        let mut findings = Findings::default();
        examine(
            vec![
                stored("a.circle", r##"{"allOf":[{"$ref":"#"}]}"##),
                stored("a.long", r#"{"properties":{"n":{"multipleOf":1234567890123456789}}}"#),
                stored("a.none", r#"{"type":7}"#),
                stored("a.good", r#"{"type":"object"}"#),
            ],
            &mut findings,
        );
        let found = findings.to_json();
        let checks: Vec<_> = found["checks"].as_array().unwrap().iter().collect();
        let said = |status: &str, part: &str| {
            checks.iter().any(|check| {
                check["status"] == status && check["found"].as_str().is_some_and(|found| found.contains(part))
            })
        };
        assert!(said("warning", "a.none can't be used"), "{found}");
        assert!(said("warning", "a.circle: the schema at \"\" leads back to itself"), "{found}");
        assert!(said("warning", "a.long: the schema at \"/properties/n/multipleOf\""), "{found}");
        assert_eq!(checks.len(), 3, "{found}");
    }
}
