//! Beginnings and ends: shutdown, time-outs, limits.

use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::{ConnectionError, VarInt};
use tokio::time::{Duration, Instant, timeout};

use super::super::qpack::Encoder;
use super::*;
use crate::metrics::Cut;
use crate::pace::Patience;

fn get(path: &str) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ] {
        encoder.field(name, value.as_bytes());
    }
    let section = encoder.finish();
    let mut out = bytes::BytesMut::new();
    super::super::frame::head(1, section.len() as u64, &mut out);
    out.extend_from_slice(&section);
    out.to_vec()
}

/// Everything that the server's control stream says until the connection ends.
async fn control(quic: quinn::Connection) -> Vec<u8> {
    loop {
        let mut stream = quic.accept_uni().await.unwrap();
        let mut said = Vec::new();
        while let Ok(Some(chunk)) = stream.read_chunk(1024, true).await {
            said.extend_from_slice(&chunk.bytes);
            if said[0] != 0 {
                break;
            }
        }
        if said.first() == Some(&0) {
            return said;
        }
    }
}

async fn closed(quic: &quinn::Connection) -> VarInt {
    match timeout(Duration::from_secs(10), quic.closed()).await {
        Ok(ConnectionError::ApplicationClosed(close)) => close.error_code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish_and_refuses_new_ones() {
    let house = House::start().await;
    let quic = house.connect().await;
    let control = tokio::spawn(control(quic.clone()));
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&get("/gated")).await.unwrap();
    send.finish().unwrap();
    house.app.entered.notified().await;
    let mut first = [0; 8];
    recv.read_exact(&mut first).await.unwrap();

    let House {
        app,
        shutdown,
        server,
        ..
    } = house;
    shutdown.fire();
    // until the final GOAWAY requests are taken, after it they are refused
    let refused = loop {
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        send.write_all(&get("/n")).await.unwrap();
        send.finish().ok();
        match recv.read_to_end(1 << 20).await {
            Ok(_) => {}
            Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
                break (u64::from(VarInt::from(send.id())), code.into_inner());
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(refused.1, 0x10b, "H3_REQUEST_REJECTED");
    assert!(!server.is_finished());
    app.gate.notify_one();
    let rest = recv.read_to_end(1 << 20).await.unwrap();
    assert!(rest.ends_with(b"later"), "the request in flight completes");
    assert_eq!(closed(&quic).await, VarInt::from_u32(0x100));
    server.await.unwrap();

    // type, SETTINGS, then GOAWAY with the largest id, then with the first that was refused
    let said = control.await.unwrap();
    let settings = 3 + usize::from(said[2]);
    let (largest, last) = said[settings..].split_at(10);
    assert_eq!(
        largest,
        [7, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc]
    );
    assert_eq!(last[0], 7);
    let id = super::super::varint::decode(&last[2..]).unwrap().0;
    assert_eq!(id, refused.0);
}

#[tokio::test]
async fn a_shutdown_waits_until_the_client_has_everything() {
    let settings = Settings {
        connection_send_bytes: 1 << 25,
        ..Settings::default()
    };
    let house = House::with(&settings);
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window((1u32 << 25).into());
    let quic = house.try_connect(transport).await.unwrap();
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&get("/large")).await.unwrap();
    // the application has written everything, most of it is still on its way
    house.app.left.notified().await;
    house.shutdown.fire();
    let answer = recv.read_to_end(1 << 25).await.unwrap();
    assert!(answer.len() > LARGE_BYTES);
    house.server.await.unwrap();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let settings = Settings {
        drain: Duration::from_millis(100),
        ..Settings::default()
    };
    let house = House::with(&settings);
    let quic = house.connect().await;
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&get("/gated")).await.unwrap();
    house.app.entered.notified().await;
    timeout(Duration::from_secs(10), house.stop())
        .await
        .unwrap();
    assert!(
        recv.read_to_end(1 << 20).await.is_err(),
        "not seen as complete"
    );
}

#[tokio::test]
async fn new_clients_are_refused_during_a_shutdown() {
    let house = House::start().await;
    let quic = house.connect().await;
    let (mut send, _recv) = quic.open_bi().await.unwrap();
    send.write_all(&get("/gated")).await.unwrap();
    house.app.entered.notified().await;
    house.shutdown.fire();
    let refusal = loop {
        // connections made before the server has seen the request are taken
        match house.try_connect(quinn::TransportConfig::default()).await {
            Ok(_) => {}
            Err(refusal) => break refusal,
        }
    };
    assert!(
        matches!(refusal, ConnectionError::ConnectionClosed(_)),
        "{refusal:?}"
    );
    house.app.gate.notify_one();
    house.server.await.unwrap();
}

#[tokio::test]
async fn a_header_that_drips_is_cut_off() {
    let settings = Settings {
        header: Duration::from_millis(300),
        ..Settings::default()
    };
    let house = House::with(&settings);
    let quic = house.connect().await;
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    let begin = Instant::now();
    let mut drip = tokio::time::interval(Duration::from_millis(20));
    let mut bytes = get(&format!("/{}", "a".repeat(2000))).into_iter();
    let code = loop {
        tokio::select! {
            _ = drip.tick() => { send.write_all(&[bytes.next().unwrap()]).await.ok(); }
            end = recv.read_to_end(100) => match end {
                Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => break code,
                other => panic!("{other:?}"),
            },
        }
    };
    assert_eq!(code.into_inner(), 0x10b);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(house.metrics.requests.get(), 0);
    assert_eq!(house.metrics.count(Cut::SlowHeader), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let settings = Settings {
        write: Patience {
            grace: Duration::from_millis(200),
            bytes_per_s: 1024,
        },
        ..Settings::default()
    };
    let house = House::with(&settings);
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(1000u32.into());
    let quic = house.try_connect(transport).await.unwrap();
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&get("/large")).await.unwrap();
    house.app.left.notified().await;
    assert_eq!(house.app.noted(), ["WriteTimedout"]);
    assert_eq!(house.metrics.count(Cut::SlowReader), 1);
    assert!(
        recv.read_to_end(1 << 25).await.is_err(),
        "not seen as complete"
    );
    house.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let settings = Settings {
        read: Patience {
            grace: Duration::from_millis(200),
            bytes_per_s: 1024,
        },
        ..Settings::default()
    };
    let house = House::with(&settings);
    let quic = house.connect().await;
    let (mut send, _recv) = quic.open_bi().await.unwrap();
    let mut bytes = get("/echo");
    // a declared length, so that there is a body to wait for
    bytes[1] += 3;
    bytes.extend_from_slice(&[0x54, 1, b'5']);
    send.write_all(&bytes).await.unwrap();
    house.app.left.notified().await;
    assert_eq!(house.app.noted(), ["ReadTimedout"]);
    assert_eq!(house.metrics.count(Cut::SlowBody), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_though_it_is_not_silent() {
    let settings = Settings {
        idle: Duration::from_millis(300),
        ..Settings::default()
    };
    let house = House::with(&settings);
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(50)));
    let quic = house.try_connect(transport).await.unwrap();
    assert_eq!(closed(&quic).await, VarInt::from_u32(0x100));
    assert_eq!(house.metrics.connections_failed.get(), 0);
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_its_answer_may_be_silent_longer_than_the_idle_time() {
    let settings = Settings {
        idle: Duration::from_millis(300),
        ..Settings::default()
    };
    let house = House::with(&settings);
    let quic = house.connect().await;
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&get("/gated")).await.unwrap();
    send.finish().unwrap();
    house.app.entered.notified().await;
    let early = timeout(Duration::from_millis(900), quic.closed()).await;
    assert!(early.is_err(), "{early:?}");
    house.app.gate.notify_one();
    assert!(recv.read_to_end(1 << 20).await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused() {
    let settings = Settings {
        max_connections: 2,
        ..Settings::default()
    };
    let house = House::with(&settings);
    let _held = (house.connect().await, house.connect().await);
    let third = house.try_connect(quinn::TransportConfig::default()).await;
    assert!(
        matches!(third, Err(ConnectionError::ConnectionClosed(_))),
        "{third:?}"
    );
    assert_eq!(house.metrics.connections_refused.get(), 1);
    house.stop().await;
}

#[tokio::test]
async fn clients_prove_their_address_when_there_are_many() {
    let settings = Settings {
        retry_from_connections: 1,
        ..Settings::default()
    };
    let house = House::with(&settings);
    let _first = house.connect().await;
    assert_eq!(house.metrics.connections_retried.get(), 0);
    let quic = house.connect().await;
    assert_eq!(house.metrics.connections_retried.get(), 1);
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&get("/n")).await.unwrap();
    send.finish().unwrap();
    assert!(recv.read_to_end(1 << 20).await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn settings_out_of_bounds_are_refused() {
    let settings = Settings {
        idle: Duration::from_secs(u64::MAX),
        ..Settings::default()
    };
    let refused = bind(
        (Ipv4Addr::LOCALHOST, 0).into(),
        Arc::new(NoCertificate),
        &settings,
    )
    .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Reads an answer and tells how much of it is here.
async fn counted(mut recv: quinn::RecvStream, count: Arc<AtomicUsize>) -> usize {
    while let Some(chunk) = recv.read_chunk(64 * 1024, true).await.unwrap() {
        count.fetch_add(chunk.bytes.len(), Ordering::Relaxed);
    }
    count.load(Ordering::Relaxed)
}

async fn ask(quic: &quinn::Connection, path: &str, more: &[(&str, &str)]) -> quinn::RecvStream {
    let (mut send, recv) = quic.open_bi().await.unwrap();
    send.write_all(&hostile::get(path, more)).await.unwrap();
    send.finish().unwrap();
    recv
}

#[tokio::test]
async fn an_urgent_answer_overtakes_one_that_is_not() {
    // by the request's field, by PRIORITY_UPDATE, by the answer's own field, by what it is
    let later = [
        ("/large", &[("priority", "u=0")][..], None),
        ("/large", &[], Some(&b"\x80\x0f\x07\0\x04\x04u=0"[..])),
        ("/large-and-urgent", &[], None),
        ("/large-list", &[("priority", "u=6")], None),
    ];
    for (path, fields, update) in later {
        let house = House::start().await;
        let quic = house.connect().await;
        let mut control = quic.open_uni().await.unwrap();
        control.write_all(&[0, 4, 0]).await.unwrap();
        if let Some(update) = update {
            control.write_all(update).await.unwrap();
            // it is there before the request is
            let mut wait = tokio::time::interval(Duration::from_millis(100));
            wait.tick().await;
            wait.tick().await;
        }
        let (first, second) = (Arc::default(), Arc::default());
        let slow = ask(&quic, "/large", &[("priority", "i, u=5")]).await;
        let slow = tokio::spawn(counted(slow, Arc::clone(&first)));
        let fast = counted(ask(&quic, path, fields).await, second).await;
        let meanwhile = first.load(Ordering::Relaxed);
        assert!(fast > LARGE_BYTES);
        assert!(
            meanwhile < LARGE_BYTES * 3 / 4,
            "{meanwhile} of the other came"
        );
        assert!(slow.await.unwrap() > LARGE_BYTES, "and it comes in the end");
        house.stop().await;
    }
}

#[tokio::test]
async fn a_download_survives_that_its_client_moves_to_another_address() {
    let house = House::start().await;
    let endpoint = house.endpoint(quinn::TransportConfig::default());
    let quic = endpoint
        .connect(house.addr, "localhost")
        .unwrap()
        .await
        .unwrap();
    let mut recv = ask(&quic, "/large", &[]).await;
    let mut count = 0;
    for at in 0.. {
        let Some(chunk) = recv.read_chunk(64 * 1024, true).await.unwrap() else {
            break;
        };
        count += chunk.bytes.len();
        if at % 50 == 25 {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            endpoint.rebind(socket).unwrap();
        }
    }
    assert!(count > LARGE_BYTES);
    assert_eq!(house.metrics.connections.get(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_may_ask_at_once_and_only_for_what_is_safe_to_repeat() {
    let house = House::start().await;
    let endpoint = house.endpoint(quinn::TransportConfig::default());
    let first = endpoint
        .connect(house.addr, "localhost")
        .unwrap()
        .await
        .unwrap();
    assert!(
        ask(&first, "/n", &[])
            .await
            .read_to_end(1 << 20)
            .await
            .is_ok()
    );
    let again = endpoint.connect(house.addr, "localhost").unwrap();
    let Ok((quic, accepted)) = again.into_0rtt() else {
        panic!("no ticket");
    };
    let mut safe = ask(&quic, "/early", &[]).await;
    let (mut send, mut unsafe_one) = quic.open_bi().await.unwrap();
    send.write_all(&hostile::post(&[])).await.unwrap();
    send.finish().unwrap();
    let answer = safe.read_to_end(1 << 20).await.unwrap();
    assert!(accepted.await, "what was sent early was taken");
    assert!(
        answer.ends_with(b"early"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let answer = unsafe_one.read_to_end(1 << 20).await.unwrap();
    assert!(
        answer.windows(2).any(|pair| pair == TOO_EARLY),
        "{answer:?}"
    );
    // once the handshake is complete it is like any other
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&hostile::post(&[])).await.unwrap();
    send.finish().unwrap();
    let answer = recv.read_to_end(1 << 20).await.unwrap();
    assert!(
        !answer.windows(2).any(|pair| pair == TOO_EARLY),
        "{answer:?}"
    );
    let mut late = ask(&quic, "/early", &[]).await;
    assert!(late.read_to_end(1 << 20).await.unwrap().ends_with(b"sure"));
    house.stop().await;
}

/// The line of `:status: 425` in the static table (RFC 9204 appendix A).
const TOO_EARLY: [u8; 2] = [0xff, 7];

#[tokio::test]
async fn early_requests_can_be_forbidden() {
    let settings = Settings {
        early_data: false,
        ..Settings::default()
    };
    let house = House::with(&settings);
    let endpoint = house.endpoint(quinn::TransportConfig::default());
    let first = endpoint
        .connect(house.addr, "localhost")
        .unwrap()
        .await
        .unwrap();
    assert!(
        ask(&first, "/n", &[])
            .await
            .read_to_end(1 << 20)
            .await
            .is_ok()
    );
    let again = endpoint.connect(house.addr, "localhost").unwrap();
    assert!(again.into_0rtt().is_err());
    house.stop().await;
}
