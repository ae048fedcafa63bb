//! A shim is the function's own process: what a hostile or broken one sends must end as an error of its own.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use http::Request;
use tokio::sync::oneshot;
use types::invocation::Event;
use types::request_id::RequestId;

use super::codec::{self, Kind};
use super::head::Serves;
use super::shim::{self, Held};
use super::{Connection, Shim};
use crate::answer::Answer;
use crate::call::{EventCall, Fault, HttpCall};

/// Kind, stream, head and body of a frame.
type Said<'a> = (Kind, u32, &'a str, &'a str);

const READY: Said<'static> = (Kind::Ready, 0, r#"{"serves":"wsgi","found":"app"}"#, "");

fn frame((kind, stream, head, body): Said<'_>) -> Vec<u8> {
    let prefix = codec::prefix(kind, stream, head.len(), body.len()).unwrap();
    [&prefix[..], head.as_bytes(), body.as_bytes()].concat()
}

/// A shim that has said all this before it was asked anything; the peer has to live as long as it.
async fn starting(frames: &[Said<'_>]) -> (Result<Shim, Fault>, UnixStream) {
    let (connection, theirs) = Connection::pair().unwrap();
    let mut peer = UnixStream::from(theirs);
    for one in frames {
        peer.write_all(&frame(*one)).unwrap();
    }
    (Shim::init(connection).await, peer)
}

fn event() -> EventCall {
    let event = Event {
        request_id: RequestId::new(),
        payload: Bytes::from_static(b"{}"),
        client_context: None,
        trace: None,
    };
    EventCall { event, deadline_ms: 0, arn: "arn".to_owned() }
}

fn request() -> HttpCall {
    let (parts, ()) = Request::new(()).into_parts();
    HttpCall { request_id: RequestId::new(), deadline_ms: 0, parts, body: Bytes::new() }
}

fn malformed<T>(result: Result<T, Fault>, what: &str) {
    match result {
        Err(Fault::Malformed(text)) => assert!(text.contains(what), "{text}"),
        Err(other) => panic!("{what}: {other:?}"),
        Ok(_) => panic!("{what}: taken for good"),
    }
}

#[tokio::test]
async fn an_init_that_keeps_to_nothing_is_malformed() {
    malformed(starting(&[(Kind::Result, 0, "{}", "1")]).await.0, "Result");
    malformed(starting(&[(Kind::Ready, 0, r#"{"serves":"everything"}"#, "")]).await.0, "Ready");
    malformed(starting(&[(Kind::Ready, 0, "nonsense", "")]).await.0, "Ready");
    malformed(starting(&[(Kind::Ready, 0, r#"{"serves":"own"}"#, "")]).await.0, "Ready");
    let failed = (Kind::InitFailed, 0, r#"{"error_type":"E","message":"m","stack_trace":["f"]}"#, "");
    assert!(matches!(starting(&[failed]).await.0, Err(Fault::Raised(raised)) if raised.error_type == "E"));
    let (connection, theirs) = Connection::pair().unwrap();
    drop(theirs);
    assert!(matches!(Shim::init(connection).await, Err(Fault::Broken)));
    let (connection, theirs) = Connection::pair().unwrap();
    UnixStream::from(theirs).write_all(&[255; 64]).unwrap();
    malformed(Shim::init(connection).await, "over the limit");
}

#[tokio::test]
async fn an_answer_to_something_else_is_not_taken() {
    let (ready, _peer) = starting(&[READY, (Kind::Result, 7, "{}", "1")]).await;
    malformed(ready.unwrap().invoke(&event()).await, "stream 7");
    let (ready, _peer) = starting(&[READY, (Kind::Chunk, 1, "{}", "1")]).await;
    malformed(ready.unwrap().invoke(&event()).await, "Chunk");
    let (ready, peer) = starting(&[READY]).await;
    drop(peer);
    assert!(matches!(ready.unwrap().invoke(&event()).await, Err(Fault::NotSent)));
}

#[tokio::test]
async fn an_http_answer_has_to_come_in_order() {
    let head = (Kind::Head, 1, r#"{"status":200,"headers":[["a","b"]]}"#, "x");
    let cases: [(&[Said<'_>], &str); 6] = [
        (&[(Kind::Chunk, 1, "{}", "x")], "Chunk"),
        (&[(Kind::End, 1, "{}", "")], "End"),
        (&[head, head], "Head"),
        (&[(Kind::Head, 1, r#"{"status":9}"#, "")], "9 is not an HTTP status"),
        (&[(Kind::Head, 1, r#"{"status":200,"headers":[["a b","c"]]}"#, "")], "`a b`"),
        (&[(Kind::Head, 1, r#"{"status":200,"headers":[["a","b\r\nc: d"]]}"#, "")], "line break"),
    ];
    for (frames, what) in cases {
        let (ready, _peer) = starting(&[&[READY], frames].concat()).await;
        let (sender, _receiver) = oneshot::channel();
        let mut answer = Answer::new(sender, &http::Method::GET);
        malformed(ready.unwrap().serve(&request(), &mut answer).await, what);
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_told_to_the_shim_which_still_ends_the_stream() {
    let (ready, mut peer) = starting(&[READY]).await;
    let (sender, receiver) = oneshot::channel();
    drop(receiver);
    let thread = std::thread::spawn(move || {
        let mut kinds = Vec::new();
        while !kinds.contains(&(Kind::Cancel as u8)) {
            let mut prefix = [0; codec::PREFIX];
            peer.read_exact(&mut prefix).unwrap();
            let length = u32::from_be_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
            let mut rest = vec![0; length + 4 - codec::PREFIX];
            peer.read_exact(&mut rest).unwrap();
            kinds.push(prefix[4]);
        }
        peer.write_all(&frame((Kind::End, 1, "{}", ""))).unwrap();
        kinds
    });
    let mut answer = Answer::new(sender, &http::Method::GET);
    ready.unwrap().serve(&request(), &mut answer).await.unwrap();
    assert_eq!(thread.join().unwrap(), [Kind::Request as u8, Kind::Cancel as u8]);
}

#[tokio::test]
async fn a_newborn_whose_hook_has_failed_says_so_at_its_first_request() {
    let failed = r#"{"error_type":"Runtime.AfterRestoreError","message":"no luck"}"#;
    for about in [0, 1] {
        let (connection, theirs) = Connection::pair().unwrap();
        let mut peer = UnixStream::from(theirs);
        peer.write_all(&frame((Kind::InitFailed, about, failed, ""))).unwrap();
        let newborn = Shim::forked(connection, Serves::Handler);
        match (about, newborn.invoke(&event()).await) {
            (0, Err(Fault::Raised(raised))) => assert_eq!(raised.error_type, "Runtime.AfterRestoreError"),
            (1, Err(Fault::Malformed(_))) => {}
            (_, other) => panic!("{about}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_program_that_is_held_says_whether_it_waits() {
    let said = async |frames: &[Said<'_>]| {
        let (mut connection, theirs) = Connection::pair().unwrap();
        let mut peer = UnixStream::from(theirs);
        for one in frames {
            peer.write_all(&frame(*one)).unwrap();
        }
        drop(peer);
        shim::held(&mut connection).await
    };
    let waits = (Kind::Ready, 0, r#"{"serves":"own","listens":["0.0.0.0",8080]}"#, "");
    assert!(matches!(said(&[waits]).await, Ok(Held::Waits { unshareable: None })));
    let refuses = (Kind::Ready, 0, r#"{"serves":"own","unshareable":"no kernel for it"}"#, "");
    let Ok(Held::Waits { unshareable }) = said(&[refuses]).await else { panic!() };
    assert_eq!(unshareable.as_deref(), Some("no kernel for it"));
    let listens = (Kind::Listening, 0, r#"{"host":"127.0.0.1","port":80,"unshareable":"its arbiter"}"#, "");
    let Ok(Held::Listens { address, unshareable }) = said(&[listens]).await else { panic!() };
    assert_eq!((address.port(), unshareable.as_str()), (80, "its arbiter"));
    let failed = (Kind::InitFailed, 0, r#"{"error_type":"E"}"#, "");
    assert!(matches!(said(&[failed]).await, Err(Fault::Raised(_))));
    for wrong in [READY, (Kind::End, 0, "{}", ""), (Kind::Listening, 0, r#"{"host":"here","port":1}"#, "")] {
        assert!(matches!(said(&[wrong]).await, Err(Fault::Malformed(_))), "{wrong:?}");
    }
    assert!(matches!(said(&[]).await, Err(Fault::Broken)));
}

#[tokio::test]
async fn a_frame_that_the_socket_has_no_room_for_is_sent_whole_and_its_answer_taken() {
    let (ready, mut peer) = starting(&[READY]).await;
    let payload = "x".repeat(3_000_000);
    let thread = std::thread::spawn({
        let expected = payload.clone();
        move || {
            let mut prefix = [0; codec::PREFIX];
            peer.read_exact(&mut prefix).unwrap();
            let length = u32::from_be_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
            let mut rest = vec![0; length + 4 - codec::PREFIX];
            peer.read_exact(&mut rest).unwrap();
            assert!(rest.ends_with(expected.as_bytes()));
            peer.write_all(&frame((Kind::Result, 1, "{}", &expected))).unwrap();
        }
    });
    let mut call = event();
    call.event.payload = Bytes::from(payload.clone());
    assert_eq!(ready.unwrap().invoke(&call).await.unwrap(), payload);
    thread.join().unwrap();
}
