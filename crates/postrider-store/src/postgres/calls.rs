//! How a call of the store becomes work on a connection, by what it may do there.

/// Runs something with a connection: `run!(self, client => work)`; or with the sealer as well: `run!(self, client, sealer => work)`.
macro_rules! run {
    ($store:expr, $client:ident, $sealer:ident => $work:expr) => {{
        let $sealer = Arc::clone(&$store.shared.sealer);
        run!($store, $client => $work)
    }};
    ($store:expr, $client:ident => $work:expr) => {
        Ok($store.shared.run(move |$client| Box::pin(async move { $work.await })).await?)
    };
}

/// The same for what only reads.
macro_rules! read {
    ($store:expr, $client:ident, $sealer:ident => $work:expr) => {{
        let $sealer = Arc::clone(&$store.shared.sealer);
        read!($store, $client => $work)
    }};
    ($store:expr, $client:ident => $work:expr) => {{
        let patience = $store.shared.patience;
        Ok($store.shared.harmless(patience, move |$client| Box::pin(async move { $work.await })).await?)
    }};
}

/// The same for what only reads, and must see everything that this node has written.
macro_rules! read_settled {
    ($store:expr, $client:ident, $sealer:ident => $work:expr) => {{
        let $sealer = Arc::clone(&$store.shared.sealer);
        read_settled!($store, $client => $work)
    }};
    ($store:expr, $client:ident => $work:expr) => {
        Ok($store.shared.read_settled(move |$client| Box::pin(async move { $work.await })).await?)
    };
}

pub(super) use {read, read_settled, run};
