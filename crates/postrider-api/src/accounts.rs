//! `/v1/accounts`: the operator's alone.

use std::borrow::Cow;

use http::StatusCode;
use postrider_core::account::Account;
use postrider_core::id::AccountId;
use postrider_core::text::ACCOUNT_NAME;
use postrider_engine::model::CreatedAccount;
use serde::Serialize;

use crate::answer::{self, Answer, List, Text, Time};
use crate::body::{Limit, Received};
use crate::call::Call;
use crate::fields::Fields;
use crate::once::once;
use crate::problem::Problem;
use crate::query::Walked;

#[derive(Serialize)]
struct Shown {
    id: Text<AccountId>,
    name: String,
    created_at: Time,
    /// Shown at creation, never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_keys: Option<Keys>,
}

#[derive(Serialize)]
struct Keys {
    live: String,
    test: String,
}

impl Shown {
    fn new(account: Account, secret_keys: Option<Keys>) -> Self {
        Self { id: Text(account.id), name: account.name, created_at: Text(account.created_at), secret_keys }
    }
}

pub(crate) async fn list(call: Call) -> Answer {
    call.caller.must_be_operator()?;
    let page = call.query(&["limit", "cursor"])?.page(Walked::Accounts)?;
    let page = call.engine().accounts(page);
    let data = page.rows.into_iter().map(|account| Shown::new(account, None)).collect();
    let next_cursor = page.next.map(|position| Walked::Accounts.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.caller.must_be_operator()?;
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        let name = name_in(&body)?;
        let shown = |made: &CreatedAccount| {
            let keys = Keys { live: made.live_key.clone(), test: made.test_key.clone() };
            answer::json_bytes(&Shown::new(made.account.clone(), Some(keys)))
        };
        let made = call.acting().create_account_once(name, asked.once(StatusCode::CREATED, shown)).await?;
        Ok(answer::exact_json(StatusCode::CREATED, shown(&made)))
    })
    .await
}

pub(crate) async fn show(call: Call) -> Answer {
    let id = named(&call)?;
    call.no_query()?;
    Ok(answer::json(StatusCode::OK, &Shown::new(call.engine().account(id)?, None)))
}

pub(crate) async fn rename(mut call: Call) -> Answer {
    let id = named(&call)?;
    call.no_query()?;
    call.engine().account(id)?;
    let body = call.body(Limit::Request).await?;
    let name = name_in(&body)?;
    let account = call.acting().rename_account(id, name).await?;
    Ok(answer::json(StatusCode::OK, &Shown::new(account, None)))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let id = named(&call)?;
    call.no_query()?;
    call.acting().delete_account(id).await?;
    Ok(answer::nothing())
}

/// The account in the path. To an account key others are not there, and its own is not its to handle.
pub(crate) fn named(call: &Call) -> Result<AccountId, Problem> {
    let id = call.id()?;
    if call.caller.bounds().is_some_and(|(own, _)| own != id) {
        return Err(Problem::not_found());
    }
    call.caller.must_be_operator()?;
    Ok(id)
}

/// The one field of an account's body.
fn name_in(body: &Received) -> Result<String, Problem> {
    let mut fields = Fields::parse(body.text()?, &["name"])?;
    fields.require("name");
    let name = fields.short_text("name", ACCOUNT_NAME).flatten().map(Cow::into_owned);
    fields.finish()?;
    Ok(name.unwrap_or_default())
}
