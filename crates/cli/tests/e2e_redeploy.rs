//! New versions under load: no request fails, and the answers change from one version to the next.

mod fixture;

use std::fs;

use fixture::{SOON, host, rounds, world};
use testkit::{Load, wait_until};

#[test]
fn forty_redeploys_under_constant_load_fail_no_request() {
    let world = world().start().unwrap();
    let folder = world.folder("shop", &[("lambda_function.py", &version(0))]).unwrap();
    let deploy = ["deploy", folder.to_str().unwrap(), "--name", "shop"];
    world.run(&deploy).unwrap();
    assert_eq!(world.get(&host("shop"), "/").unwrap().text(), "v0");

    let load = Load::start(world.ready().gateway, &host("shop"), "/", 4);
    let last = rounds(40, 100);
    for number in 1..=last {
        fs::write(folder.join("lambda_function.py"), version(number)).unwrap();
        world.run(&deploy).unwrap();
        // From the moment `deploy` is done, a new request gets the new version.
        assert_eq!(world.get(&host("shop"), "/").unwrap().text(), format!("v{number}"));
        let answered = load.answered();
        wait_until(SOON, "load goes on", || load.answered() > answered).unwrap();
    }
    let counts = load.stop();
    assert_eq!(counts.failed(), 0, "{counts:?}");
    assert!(counts.bodies.len() > last / 2, "the load saw only {} versions", counts.bodies.len());
}

#[test]
fn a_program_with_its_own_server_is_replaced_without_a_failed_request() {
    let world = world().start().unwrap();
    let procfile = "web: python3 server.py\n";
    let folder = world.folder("site", &[("Procfile", procfile), ("server.py", &server(0))]).unwrap();
    let deploy = ["deploy", folder.to_str().unwrap(), "--name", "site"];
    world.run(&deploy).unwrap();
    let load = Load::start(world.ready().gateway, &host("site"), "/", 4);
    let last = rounds(8, 40);
    for number in 1..=last {
        fs::write(folder.join("server.py"), server(number)).unwrap();
        world.run(&deploy).unwrap();
        assert_eq!(world.get(&host("site"), "/").unwrap().text(), format!("v{number}"));
        let answered = load.answered();
        wait_until(SOON, "load goes on", || load.answered() > answered).unwrap();
    }
    let counts = load.stop();
    assert_eq!(counts.failed(), 0, "{counts:?}");
}

#[test]
fn rollback_brings_the_previous_version_back() {
    let world = world().start().unwrap();
    let folder = world.folder("shop", &[("lambda_function.py", &version(1))]).unwrap();
    let deploy = ["deploy", folder.to_str().unwrap(), "--name", "shop"];
    world.run(&deploy).unwrap();
    fs::write(folder.join("lambda_function.py"), version(2)).unwrap();
    world.run(&deploy).unwrap();
    assert_eq!(world.get(&host("shop"), "/").unwrap().text(), "v2");
    world.run(&["rollback", "shop"]).unwrap();
    assert_eq!(world.get(&host("shop"), "/").unwrap().text(), "v1");
}

#[test]
fn delete_ends_the_instances_and_the_address() {
    let world = world().start().unwrap();
    let folder = world.folder("shop", &[("lambda_function.py", &version(1))]).unwrap();
    world.run(&["deploy", folder.to_str().unwrap(), "--name", "shop"]).unwrap();
    assert_eq!(world.get(&host("shop"), "/").unwrap().status, 200);
    world.run(&["delete", "shop", "--yes"]).unwrap();
    assert_eq!(world.get(&host("shop"), "/").unwrap().status, 404);
    fixture::wait_for_zero(&world);
}

fn version(number: usize) -> String {
    format!("def lambda_handler(event, context):\n    return {{'statusCode': 200, 'body': 'v{number}'}}\n")
}

fn server(number: usize) -> String {
    format!(
        "\
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        body = b'v{number}'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"
    )
}
