//! The account and the mode that a body names: implied by an account's key, named by the operator.

use postrider_core::id::AccountId;
use postrider_engine::{Engine, EngineError};

use crate::caller::Caller;
use crate::fields::Fields;
use crate::problem::Problem;

pub(crate) const NO_SUCH_ACCOUNT: &str = "there is no such account";

/// The account and the mode of a body with the fields `account` and `livemode`. Faults are noted in `fields`; 403
/// where an account's key names another account or mode than its own.
pub(crate) async fn of_body(
    engine: &Engine,
    caller: Caller,
    fields: &mut Fields<'_>,
) -> Result<(Option<AccountId>, Option<bool>), Problem> {
    let livemode = fields.boolean("livemode").flatten();
    let named = fields.text("account").flatten();
    if let Some((own_account, own_livemode)) = caller.bounds() {
        if named.is_some_and(|named| named.parse() != Ok(own_account)) {
            return Err(Problem::forbidden("the key acts for its own account alone; leave \"account\" out"));
        }
        if livemode.is_some_and(|livemode| livemode != own_livemode) {
            return Err(Problem::forbidden("the key acts in its own mode alone; leave \"livemode\" out"));
        }
        return Ok((Some(own_account), Some(own_livemode)));
    }
    fields.require("account");
    let account = match named.and_then(|named| named.parse::<AccountId>().ok()) {
        Some(id) => match engine.account_anywhere(id).await {
            Ok(_) => Some(id),
            Err(EngineError::NotFound) => None,
            Err(other) => return Err(other.into()),
        },
        None => None,
    };
    if account.is_none() {
        // A fault noted for the field before (missing, no string) stays the one that is shown.
        fields.refuse("account", NO_SUCH_ACCOUNT);
    }
    Ok((account, livemode))
}
