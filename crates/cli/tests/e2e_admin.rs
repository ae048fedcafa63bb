//! The admin address of a real server: health, metrics, status, isolation.
#![expect(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod fixture;

use fixture::{HELLO, deploy, host, status, world};

#[test]
fn what_the_admin_pages_show_follows_what_happens() {
    let world = world().start().unwrap();
    assert_eq!(world.admin("/healthz").unwrap().text(), "ok\n");
    deploy(&world, "hello", HELLO, &["--idle-seconds", "60"]);
    assert_eq!(world.admin("/v1/functions/nobody").unwrap().status, 404);
    assert_eq!(world.get(&host("hello"), "/").unwrap().status, 200);

    let page = status(&world);
    assert_eq!(page["isolation"], world.ready().isolation, "{page}");
    assert_eq!(page["data_dir"], world.data_dir().canonicalize().unwrap().to_str().unwrap(), "{page}");
    let function = page["functions"].as_array().unwrap().iter().find(|function| function["name"] == "hello");
    assert_eq!(function.unwrap()["instances"].as_array().unwrap().len(), 1, "{page}");

    let metrics = world.admin("/metrics").unwrap();
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let metrics = metrics.text();
    assert!(metrics.contains("lambent_gateway_requests_total{status=\"2xx\"} 1\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");

    let refused = fixture_post(&world);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn the_isolation_page_is_the_policy_itself() {
    let world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    let page = world.admin("/v1/functions/hello/isolation").unwrap();
    let spec: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    let is_on = world.has_namespaces();
    for layer in ["root", "user", "pid", "network", "ipc", "uts", "cgroup", "limits", "seccomp"] {
        assert_eq!(spec["layers"][layer], is_on, "{layer}: {spec}");
    }
    assert_eq!(spec["layers"]["capabilities"], true);
    assert_eq!(spec["limits"]["memory_bytes"], 512 * 1024 * 1024);
}

fn fixture_post(world: &testkit::World) -> testkit::Response {
    let address = world.ready().admin;
    testkit::Client::new(address).request("POST", &address.to_string(), "/v1/status", &[], b"").unwrap()
}
