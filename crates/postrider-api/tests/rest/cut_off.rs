//! A node that can't reach its database tells nothing of what it has in memory to keys that may have been revoked.

use std::time::Duration;

use postrider_api::ApiOptions;
use postrider_pgtemp::{Cluster, Proxy, Way};
use postrider_store::postgres::{PostgresOptions, PostgresStore};
use postrider_store::seal::MasterKey;

use crate::harness::{PATIENCE, Service};

#[tokio::test]
async fn a_node_that_is_cut_off_refuses_keys_of_accounts_and_serves_the_operator() {
    let url = Cluster::shared().database().unwrap();
    let proxy = Proxy::start(Cluster::shared().port()).unwrap();
    let lapse = Duration::from_secs(3);
    let options = PostgresOptions { connections: 4, lapse, patience: lapse, ..PostgresOptions::default() };
    let store = PostgresStore::connect(&proxy.url(&url), &MasterKey::generate(), options).await.unwrap();
    let service =
        Service::start_over(std::sync::Arc::new(store), tempfile::tempdir().unwrap(), ApiOptions::default())
            .await;
    let account = service.account("a").await;
    let list = async |key: &str| service.call(key, "GET", "/v1/endpoints", "").await;
    assert_eq!(list(&account.test_key).await.status, 200);
    proxy.freeze(Way::ToDatabase);
    let refused = async {
        loop {
            let answer = list(&account.test_key).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
    assert_eq!(service.operator("GET", "/v1/endpoints", "").await.status, 200);
    assert_eq!(list("sk_live_guess").await.status, 503, "it can't be told whether it is known elsewhere");
    proxy.thaw();
    let served = async { while list(&account.test_key).await.status != 200 {} };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    service.stop().await;
}
