//! An account's keys: issued, listed and revoked, by the operator alone.

use http::StatusCode;
use postrider_core::id::{AccountId, KeyId};
use postrider_engine::model::KeyView;
use serde::Serialize;

use crate::accounts;
use crate::answer::{self, Answer, List, Text, Time};
use crate::body::Limit;
use crate::call::Call;
use crate::fields::Fields;
use crate::once::once;
use crate::problem::Problem;
use crate::query::Walked;

#[derive(Serialize)]
struct Shown {
    id: Text<KeyId>,
    account: Text<AccountId>,
    livemode: bool,
    created_at: Time,
    last_used_at: Option<Time>,
    /// Shown when it is made, never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<String>,
}

impl Shown {
    fn new(key: KeyView, secret_key: Option<String>) -> Self {
        Self {
            id: Text(key.id),
            account: Text(key.account),
            livemode: key.livemode,
            created_at: Text(key.created_at),
            last_used_at: key.last_used_at.map(Text),
            secret_key,
        }
    }
}

pub(crate) async fn create(mut call: Call) -> Answer {
    let account = accounts::named(&call)?;
    call.no_query()?;
    call.engine().account(account)?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        let mut fields = Fields::parse(body.text()?, &["livemode"])?;
        fields.require("livemode");
        let livemode = fields.boolean("livemode").flatten().unwrap_or_default();
        fields.finish()?;
        let shown =
            |(key, text): &(KeyView, String)| answer::json_bytes(&Shown::new(*key, Some(text.clone())));
        let kept = asked.once(StatusCode::CREATED, shown);
        let made = call.acting().create_key(account, livemode, kept).await?;
        Ok(answer::exact_json(StatusCode::CREATED, shown(&made)))
    })
    .await
}

pub(crate) async fn list(call: Call) -> Answer {
    let account = accounts::named(&call)?;
    let page = call.query(&["limit", "cursor"])?.page(Walked::Keys)?;
    let all = call.engine().keys(account)?;
    let begin = page.before.and_then(|position| usize::try_from(position).ok()).unwrap_or(0);
    let end = begin.saturating_add(page.limit).min(all.len());
    let rows = all.get(begin..end).unwrap_or_default();
    let data = rows.iter().map(|key| Shown::new(*key, None)).collect();
    let next = (end < all.len()).then(|| i64::try_from(end).ok()).flatten();
    Ok(answer::json(
        StatusCode::OK,
        &List { data, next_cursor: next.map(|position| Walked::Keys.cursor(position)) },
    ))
}

pub(crate) async fn revoke(call: Call) -> Answer {
    let key = call.engine().key(call.id::<KeyId>()?)?;
    // To an account's key others are not there, and those of its own mode are not its to handle.
    if !call.caller.sees(key.account, key.livemode) {
        return Err(Problem::not_found());
    }
    call.caller.must_be_operator()?;
    call.no_query()?;
    call.acting().revoke_key(key.id).await?;
    tracing::info!(key = %key.id, account = %key.account, "the operator revoked a key");
    Ok(answer::nothing())
}
