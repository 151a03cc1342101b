//! One suite that every store passes: what [`Store`] promises, as tests that any backend runs unchanged.
//!
//! A backend brings a [`Backend`] and calls [`store_conformance!`](crate::store_conformance) in a test file. No
//! case here knows which database it talks to, and none waits for a clock.

#![expect(clippy::unwrap_used, reason = "this is a test suite: a panic is how it fails")]

pub mod accepting;
pub mod attempts;
pub mod auditing;
pub mod choosing;
pub mod clock;
pub mod configuring;
pub mod credentials;
pub mod ending;
pub mod event_types;
pub mod lanes;
pub mod listing;
pub mod once;
pub mod portal;
pub mod recording;
pub mod refusals;
pub mod replaying;
pub mod retaining;
pub(crate) mod world;

use std::sync::Arc;

use async_trait::async_trait;

use crate::Store;

/// A place where a store can live: empty at first, and still there when its store was closed.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens the store at this place. Called again only after the one before was closed.
    async fn open(&self) -> Arc<dyn Store>;
}

/// Makes a test of every case. `$backend` is an expression that gives a fresh [`Backend`], evaluated per test.
#[macro_export]
macro_rules! store_conformance {
    ($backend:expr) => {
        $crate::store_conformance! { @each $backend,
            accepting::what_was_accepted_is_there_after_a_reopen,
            accepting::payloads_survive_byte_for_byte,
            accepting::numbers_follow_the_order_of_commits,
            accepting::numbers_are_not_used_again_after_a_reopen,
            accepting::events_matched_by_an_old_configuration_are_refused,
            accepting::one_refused_event_refuses_its_whole_request_and_no_other,
            accepting::a_deleted_accounts_events_are_refused,
            accepting::many_at_once_are_all_kept_apart,
            accepting::an_event_for_many_endpoints_has_a_delivery_for_each,
            accepting::an_event_without_deliveries_is_kept,
            accepting::a_guid_is_accepted_once,
            refusals::a_value_that_the_database_refuses_is_no_outage,
            recording::each_outcome_leaves_its_state,
            recording::recording_again_changes_nothing,
            recording::an_older_outcome_does_not_undo_a_later_one,
            recording::a_cancelled_delivery_stays_cancelled_and_its_attempt_is_logged,
            recording::a_delivered_one_is_never_pending_again,
            recording::health_and_a_disabling_are_written_with_the_outcome,
            recording::many_at_once_are_all_recorded,
            recording::an_outcome_of_nothing_leaves_nothing,
            attempts::every_field_of_an_attempt_survives,
            attempts::an_attempt_is_logged_whatever_text_it_holds,
            attempts::attempts_come_oldest_first_and_survive_a_reopen,
            attempts::the_last_attempts_come_without_the_others,
            ending::attempts_come_in_the_order_in_which_they_ended_behind_a_place,
            ending::what_is_not_wanted_is_left_out_without_ending_the_walk,
            lanes::ready_gives_the_oldest_with_their_payloads,
            lanes::what_waits_for_a_time_is_due_then_and_paged,
            lanes::payloads_come_in_the_order_asked,
            lanes::backlogs_count_what_is_pending,
            lanes::ready_numbers_are_the_lowest_of_each_endpoint,
            lanes::the_oldest_pending_delivery_is_found_wherever_it_waits,
            lanes::cancelling_goes_in_slices_from_the_oldest,
            lanes::one_pending_delivery_is_cancelled_and_no_other,
            lanes::what_is_deleted_leaves_its_backlog_to_be_cancelled,
            lanes::a_finished_delivery_can_be_resent,
            lanes::what_is_pending_or_gone_cannot_be_resent,
            retaining::what_ended_before_the_retention_goes_with_its_attempts,
            retaining::what_is_pending_or_ended_lately_stays,
            retaining::what_was_held_too_long_is_cancelled_and_then_goes,
            retaining::slices_go_on_where_the_last_one_ended,
            retaining::replays_that_ended_before_the_retention_go_and_running_ones_stay,
            retaining::a_store_tells_its_size_and_how_far_back_it_goes,
            replaying::a_replay_is_kept_with_all_it_was_made_of,
            choosing::a_range_ends_with_what_was_accepted_before_it,
            choosing::what_is_chosen_follows_the_selection_in_order_and_in_parts,
            choosing::times_narrow_a_range_before_it_is_read,
            choosing::an_event_goes_once_however_often_it_was_sent,
            replaying::a_step_makes_deliveries_like_a_resend_and_remembers_how_far_it_came,
            replaying::a_step_that_begins_elsewhere_or_comes_too_late_makes_nothing,
            replaying::what_is_gone_or_pending_when_its_turn_comes_is_skipped,
            replaying::one_runs_per_endpoint_and_so_many_per_account_and_over_all,
            replaying::a_deleted_endpoint_or_account_ends_its_replays,
            replaying::replays_are_listed_newest_first_and_paged,
            clock::running_time_and_doubts_survive_a_reopen,
            clock::the_first_look_compares_with_what_is_stored,
            configuring::accounts_and_keys_survive_a_reopen,
            credentials::keys_are_made_noted_and_revoked,
            configuring::a_deleted_account_is_gone_with_its_keys_and_endpoints,
            configuring::every_setting_of_an_endpoint_survives,
            configuring::an_update_writes_everything_but_health_and_secrets,
            configuring::a_change_of_settings_leaves_the_state,
            configuring::a_change_that_another_one_has_overtaken_is_refused,
            credentials::secrets_change_only_from_what_they_were_and_survive,
            credentials::a_change_of_settings_or_state_leaves_the_secrets,
            credentials::a_change_of_the_url_leaves_the_secrets_and_headers,
            configuring::each_change_raises_the_version,
            configuring::what_is_not_there_cannot_be_changed,
            configuring::an_account_has_so_many_endpoints_and_no_more,
            configuring::a_refused_change_hurts_nobody_else,
            refusals::an_outcome_that_the_database_refuses_is_no_outage,
            refusals::a_text_that_the_database_refuses_is_no_outage,
            configuring::the_operator_key_is_remembered,
            event_types::event_types_survive_with_every_field,
            event_types::event_types_change_only_from_what_they_were,
            event_types::there_are_so_many_event_types_and_no_more,
            event_types::every_change_of_an_event_type_leaves_one_entry,
            portal::a_link_is_found_by_its_token_until_it_ends_or_is_revoked,
            portal::an_account_has_so_many_living_links_and_no_more,
            once::an_answer_is_kept_with_events_and_nothing_is_accepted_twice,
            once::an_answer_is_kept_with_everything_that_is_created,
            once::what_is_refused_keeps_no_answer,
            once::of_many_at_once_one_creates_and_the_others_find_its_answer,
            once::an_answer_is_kept_for_a_day_and_then_forgotten,
            auditing::every_change_of_an_account_leaves_one_entry_of_who_made_it,
            auditing::every_change_of_an_endpoint_leaves_one_entry_of_who_made_it,
            auditing::what_is_refused_leaves_no_entry,
            auditing::entries_are_filtered_and_paged_and_survive,
            auditing::entries_are_forgotten_in_slices_from_the_oldest,
            configuring::a_healthy_store_can_be_written,
            listing::deliveries_are_filtered_and_paged,
            listing::events_are_filtered_and_paged,
            listing::unknown_ids_give_empty_pages,
            listing::what_was_deleted_can_still_be_listed,
            listing::single_rows_are_found_by_their_ids,
        }
    };
    (@each $backend:expr, $($module:ident :: $case:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::$module::$case(&$backend).await;
            }
        )*
    };
}
