//! Peers that say nothing, do not end what they began to say, or do not listen.

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::shutdown::Trigger;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
/// Far longer than any test lasts.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(50);

const LIMITS: Limits = Limits {
    connections: 1,
    each: 1,
    first: LONG,
    header: LONG,
    write: LONG,
};

fn router() -> Router {
    let large = || async { vec![0_u8; 64 << 20] };
    Router::new()
        .route("/", get(async || "well"))
        .route("/large", get(large))
}

async fn bind() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn start(limits: Limits) -> (std::net::SocketAddr, Trigger, JoinHandle<()>) {
    let (listener, address) = bind().await;
    let (trigger, shutdown) = Trigger::new();
    let served = serve(listener, router(), limits, shutdown);
    (address, trigger, tokio::spawn(served))
}

/// As [`start`], for HTTP/2 as well.
async fn start_both(limits: Limits) -> (std::net::SocketAddr, Trigger, JoinHandle<()>) {
    let (listener, address) = bind().await;
    let (trigger, shutdown) = Trigger::new();
    let served = async move {
        let http = http(limits);
        let connection = |stream, answers: Answers| {
            let router = TowerToHyperService::new(router());
            let answer = service_fn(move |request: Request<Incoming>| {
                answers.asked(request.version());
                router.call(request)
            });
            http.serve_connection(stream, answer).into_owned()
        };
        accept(listener, limits, connection, shutdown).await;
    };
    (address, trigger, tokio::spawn(served))
}

async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"well") {
        let mut some = [0; 256];
        let read = stream.read(&mut some).await.unwrap();
        assert!(
            read > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&answer)
        );
        answer.extend_from_slice(&some[..read]);
    }
    String::from_utf8(answer).unwrap()
}

async fn assert_served(address: std::net::SocketAddr) {
    let mut next = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut next).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn whoever_takes_all_connections_of_its_address_leaves_the_others_theirs() {
    let limits = Limits {
        connections: 8,
        each: 2,
        ..LIMITS
    };
    let (address, trigger, served) = start(limits).await;
    let idle = [
        TcpStream::connect(address).await.unwrap(),
        TcpStream::connect(address).await.unwrap(),
    ];
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut nothing = Vec::new();
    // Closed, or reset: it is not answered.
    let _ = third.write_all(REQUEST).await;
    let _ = third.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(REQUEST).await.unwrap();
    let mut begin = [0; 12];
    other.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    drop((idle, other));
    trigger.fire();
    served.await.unwrap();
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_at_shutdown() {
    let (address, trigger, served) = start(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    trigger.fire();
    served.await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn who_asks_nothing_whole_is_closed_and_makes_room_for_the_next() {
    let limits = Limits {
        first: SHORT,
        ..LIMITS
    };
    for begun in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost:"] {
        let (address, _trigger, _served) = start(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(begun).await.unwrap();
        assert_served(address).await;
    }
    for begun in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nhost:", PREFACE] {
        let (address, _trigger, _served) = start_both(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(begun).await.unwrap();
        assert_served(address).await;
    }
}

#[tokio::test]
async fn who_asked_once_has_its_time_for_the_next_request() {
    let limits = Limits {
        header: SHORT,
        ..LIMITS
    };
    let (address, _trigger, _served) = start_both(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream).await;
    stream.write_all(b"GET / HTT").await.unwrap();
    assert_served(address).await;
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut_and_makes_room_for_the_next() {
    let limits = Limits {
        write: SHORT,
        ..LIMITS
    };
    let (address, _trigger, _served) = start(limits).await;
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_served(address).await;
}

#[tokio::test]
async fn who_reads_slowly_gets_all_of_it() {
    let limits = Limits {
        write: Duration::from_secs(20),
        ..LIMITS
    };
    let (address, _trigger, _served) = start(limits).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let (mut some, mut total) = (vec![0; 100 << 10], 0);
    loop {
        let read = slow.read(&mut some).await.unwrap();
        if read == 0 {
            break;
        }
        total += read;
        tokio::task::yield_now().await;
    }
    assert!(total > 64 << 20, "{total}");
}

#[tokio::test]
async fn a_header_that_does_not_end_is_refused_before_it_fills_the_memory() {
    let (address, _trigger, _served) = start_both(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let long = [
        REQUEST.strip_suffix(b"\r\n").unwrap(),
        b"x: ",
        &[b'x'; 80 << 10][..],
    ]
    .concat();
    // The peer may be closed before all is written.
    let _ = stream.write_all(&long).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
