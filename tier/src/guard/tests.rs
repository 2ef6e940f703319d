//! Clients that hold a connection, on paused clocks.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::counted::Counted;

fn terms() -> Terms {
    Terms {
        header: Duration::from_secs(10),
        write: Patience {
            grace: Duration::from_secs(60),
            bytes_per_s: 1024,
        },
        read: Patience {
            grace: Duration::from_secs(15),
            bytes_per_s: 1024,
        },
        connections: Connections::new().unwrap(),
    }
}

fn after(bytes: &[u8]) -> Progress {
    bytes
        .iter()
        .fold(Progress::Idle, |progress, byte| progress.next(*byte))
}

/// Sends a byte every three seconds until the guard has enough of it, and tells when that was.
async fn drip(
    client: &mut DuplexStream,
    guard: &mut Guard<DuplexStream>,
    bytes: &[u8],
) -> Duration {
    let begun = Instant::now();
    for byte in bytes {
        client.write_all(&[*byte]).await.unwrap();
        if let Err(error) = guard.read(&mut [0; 1]).await {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            return begun.elapsed();
        }
        let idle = Duration::from_secs(3);
        if let Ok(Err(error)) = tokio::time::timeout(idle, guard.read(&mut [0; 1])).await {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            return begun.elapsed();
        }
    }
    panic!("all of it was taken");
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags, 0, 0, 0, 1]].concat();
    [&head, payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose preface and settings have been read.
async fn h2(terms: &Terms) -> (DuplexStream, Guard<DuplexStream>) {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let mut guard = Guard::h2(server, terms.clone());
    let hello = [PREFACE, &frame(4, 0, b"")].concat();
    client.write_all(&hello).await.unwrap();
    guard.read_exact(&mut vec![0; hello.len()]).await.unwrap();
    (client, guard)
}

/// Reads until an error, and counts what came before it.
async fn read_on(guard: &mut Guard<DuplexStream>) -> (usize, io::Error) {
    let (mut count, mut buf) = (0, vec![0; 4096]);
    loop {
        match guard.read(&mut buf).await {
            Ok(read) => count += read,
            Err(error) => return (count, error),
        }
    }
}

#[test]
fn a_header_ends_with_an_empty_line() {
    assert_eq!(after(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Progress::Idle);
    assert_eq!(after(b"GET / HTTP/1.1\nHost: a\n\n"), Progress::Idle);
    assert_ne!(after(b"GET / HTTP/1.1\r\nHost: a\r\n"), Progress::Idle);
    assert_ne!(after(b"GET / HTTP/1.1\r\nHost: a\r\n\rX"), Progress::Idle);
    assert_ne!(after(b"\r\n"), Progress::Idle);
}

#[test]
fn a_header_ends_where_it_ends_in_whatever_pieces_it_comes() {
    let text = b"\r\nGET / HTTP/1.1\r\nHost: a\n\r\n\r\n\n\nGET /\rx HTTP/1.1\r\r\n\r\r\n\nb";
    for end in 0..=text.len() {
        for middle in 0..=end {
            let (first, second) = (&text[..middle], &text[middle..end]);
            let pieces = Progress::Idle.after(first).after(second);
            assert_eq!(pieces, after(&text[..end]), "{first:?} {second:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dripped_header_is_cut_off_and_an_idle_connection_is_not() {
    for text in [
        &b"GET /a/long/request/line"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nx",
    ] {
        let terms = terms();
        let (mut client, server) = tokio::io::duplex(64);
        let mut guard = Guard::new(server, terms.clone());
        let mut byte = [0; 1];
        let idle = tokio::time::timeout(Duration::from_secs(3600), guard.read(&mut byte)).await;
        assert!(idle.is_err(), "idle is not limited here");
        let cut = drip(&mut client, &mut guard, text).await;
        assert!(cut <= Duration::from_secs(12), "{cut:?}");
        assert_eq!(terms.connections.count(Protocol::H1, Cut::SlowHeader), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_a_request_waits_for_the_end_of_its_answer() {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let mut guard = Guard::new(server, terms());
    let long = Duration::from_secs(3600);
    let mut three = [0; 3];
    for said in [b"GET", b" /b", b" HT"] {
        guard.notes.keep_back(true);
        client.write_all(said).await.unwrap();
        let early = tokio::time::timeout(long, guard.read(&mut three)).await;
        assert!(early.is_err(), "neither heard nor cut");
        guard.notes.keep_back(false);
        guard.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, said);
    }
    guard.notes.keep_back(true);
    let much: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[1] | 32).collect();
    client.write_all(&much).await.unwrap();
    let early = tokio::time::timeout(long, guard.read(&mut three)).await;
    assert!(early.is_err() && guard.behind.len() < 10_000);
    guard.notes.keep_back(false);
    let mut seen = vec![0; much.len()];
    guard.read_exact(&mut seen).await.unwrap();
    assert!(seen == much, "all of it, in its order");
    guard.notes.keep_back(true);
    drop(client);
    assert_eq!(guard.read(&mut three).await.unwrap(), 0, "the client left");
}

#[tokio::test(start_paused = true)]
async fn an_http2_preface_has_a_deadline_and_silence_after_it_has_none() {
    for dripped in [0, PREFACE.len() - 1, PREFACE.len()] {
        let (mut client, server) = tokio::io::duplex(64);
        let mut guard = Guard::h2(server, terms());
        client.write_all(&PREFACE[..dripped]).await.unwrap();
        let begun = Instant::now();
        let error = guard.read_exact(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{dripped}");
        assert!(begun.elapsed() <= Duration::from_secs(11));
    }
    let (_client, mut guard) = h2(&terms()).await;
    let mut byte = [0; 1];
    let later = tokio::time::timeout(Duration::from_secs(3600), guard.read(&mut byte)).await;
    assert!(later.is_err(), "idle is not limited here");
}

#[tokio::test(start_paused = true)]
async fn a_dripped_header_block_is_cut_off() {
    let begun_block = frame(1, 0, b"begun");
    let dripped: Vec<u8> = frame(9, 0, b"").repeat(20);
    let half_a_ping = [&[][..], &frame(6, 0, b"8 octets")[..16]].concat();
    for (first, drips) in [(begun_block, dripped), (Vec::new(), half_a_ping)] {
        let terms = terms();
        let (mut client, mut guard) = h2(&terms).await;
        client.write_all(&first).await.unwrap();
        guard.read_exact(&mut vec![0; first.len()]).await.unwrap();
        let cut = drip(&mut client, &mut guard, &drips).await;
        assert!(cut <= Duration::from_secs(12), "{cut:?}");
        assert_eq!(terms.connections.count(Protocol::H2, Cut::SlowHeader), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_follow_each_other_have_a_deadline_each() {
    let (mut client, mut guard) = h2(&terms()).await;
    let ping = frame(6, 0, b"8 octets");
    // each read ends within a frame, but within another one every time
    client.write_all(&ping[..10]).await.unwrap();
    guard.read_exact(&mut [0; 10]).await.unwrap();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(8)).await;
        let piece = [&ping[10..], &ping[..10]].concat();
        client.write_all(&piece).await.unwrap();
        guard.read_exact(&mut [0; 17]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_told_to_calm_down_and_cut_off() {
    let floods = [
        ("PING", frame(6, 0, b"8 octets")),
        ("SETTINGS", frame(4, 0, b"")),
        ("PRIORITY", frame(2, 0, b"fives")),
        ("WINDOW_UPDATE", frame(8, 0, &[0, 0, 0, 1])),
        (
            "RST_STREAM",
            [frame(1, 4, b"get"), frame(3, 0, b"four")].concat(),
        ),
        ("CONTINUATION", frame(9, 0, b"")),
        ("DATA", frame(0, 0, b"")),
        ("unknown", frame(0x77, 0, b"")),
    ];
    for (what, flood) in floods {
        let terms = terms();
        let (mut client, mut guard) = h2(&terms).await;
        client.write_all(&flood.repeat(1100)).await.unwrap();
        let (count, _) = read_on(&mut guard).await;
        let borne = count / flood.len();
        assert!((500..1001).contains(&borne), "{what}: {borne}");
        assert_eq!(terms.connections.count(Protocol::H2, Cut::Flood), 1);
        drop(guard);
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, CALM_DOWN, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_farewell_is_never_put_into_another_frame() {
    let (mut client, mut guard) = h2(&terms()).await;
    let answer = frame(0, 0, &[7; 100]);
    guard.write_all(&answer[..50]).await.unwrap();
    client
        .write_all(&frame(6, 0, b"8 octets").repeat(1100))
        .await
        .unwrap();
    read_on(&mut guard).await;
    drop(guard);
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, answer[..50]);
}

#[tokio::test(start_paused = true)]
async fn window_updates_are_paid_for_by_the_answer_that_needs_them() {
    let (mut client, mut guard) = h2(&terms()).await;
    let (answer, update) = (frame(0, 0, &[7; 1024]), frame(8, 0, &[0, 0, 4, 0]));
    for _ in 0..20_000 {
        guard.write_all(&answer).await.unwrap();
        client.read_exact(&mut vec![0; answer.len()]).await.unwrap();
        client.write_all(&update.repeat(2)).await.unwrap();
        guard.read_exact(&mut [0; 26]).await.unwrap();
    }
}

/// Writes without end to a client that takes `bytes` after each pause, and tells when it is cut.
async fn cut_after(bytes: usize, pause: Duration) -> Option<(Duration, Terms)> {
    let terms = terms();
    let (mut client, server) = tokio::io::duplex(4096);
    let mut guard = Guard::new(server, terms.clone());
    let begun = Instant::now();
    let writer = async move {
        loop {
            if let Err(error) = guard.write_all(&[0; 1 << 16]).await {
                return error;
            }
        }
    };
    let reader = async {
        let mut buf = vec![0; bytes];
        loop {
            tokio::time::sleep(pause).await;
            client.read_exact(&mut buf).await.unwrap();
        }
    };
    tokio::select! {
        error = writer => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
        () = reader => {}
        () = tokio::time::sleep(Duration::from_secs(7200)) => return None,
    }
    Some((begun.elapsed(), terms))
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_cut_off_and_so_is_one_that_sips() {
    for (bytes, pause_s, latest_s) in [(1, 100_000, 61), (1, 50, 70), (512, 1, 140)] {
        let cut = cut_after(bytes, Duration::from_secs(pause_s)).await;
        let (after, terms) = cut.unwrap();
        assert!((59..=latest_s).contains(&after.as_secs()), "{after:?}");
        assert_eq!(terms.connections.count(Protocol::H1, Cut::SlowReader), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_honest_slow_reader_gets_everything() {
    // A poor line, at which a chunk of 64 KiB takes a minute and more.
    assert!(cut_after(1100, Duration::from_secs(1)).await.is_none());
}

/// A stream that takes all at once and sends nothing of it on, as TLS does with a full socket.
struct Hoarder;

impl AsyncRead for Hoarder {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Hoarder {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_leave_the_tls_buffer_is_noticed_too() {
    let begun = Instant::now();
    let mut guard = Guard::new(Hoarder, terms());
    guard.write_all(b"answer").await.unwrap();
    assert!(guard.flush().await.is_err());
    assert_eq!(begun.elapsed().as_secs(), 60);
    let mut guard = Guard::new(Hoarder, terms());
    assert!(
        guard.shutdown().await.is_err(),
        "nor does the end wait for ever"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_takes_as_long_as_it_keeps_its_pace_and_the_next_header_is_watched_again() {
    let terms = terms();
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let mut guard = Guard::new(server, terms.clone());
    let mut read = vec![0; 64 * 1024];
    let header = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nbody";
    client.write_all(header).await.unwrap();
    assert_eq!(guard.read(&mut read).await.unwrap(), header.len());
    guard.notes.turn();
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(60)).await;
        client.write_all(&[b'a'; 14 * 1024]).await.unwrap();
        let waited = guard.read(&mut read).await;
        assert_eq!(
            waited.unwrap(),
            14 * 1024,
            "a time in which nobody reads costs nothing"
        );
        let wait = tokio::time::timeout(Duration::from_secs(14), guard.read(&mut read));
        assert!(wait.await.is_err(), "it is waited for");
    }
    let begun = Instant::now();
    let error = loop {
        client.write_all(b"a").await.unwrap();
        match guard.read(&mut read).await {
            Ok(_) => {
                let pause = Duration::from_secs(1);
                let wait = tokio::time::timeout(pause, guard.read(&mut read)).await;
                if let Ok(Err(error)) = wait {
                    break error;
                }
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(terms.connections.count(Protocol::H1, Cut::SlowBody), 1);
    assert!(
        begun.elapsed() <= Duration::from_secs(17),
        "a byte now and then does not help"
    );
    guard.notes.turn();
    let idle = tokio::time::timeout(Duration::from_secs(3600), guard.read(&mut read)).await;
    assert!(
        idle.is_err(),
        "between two requests nothing is limited here"
    );
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(guard.read(&mut read).await.unwrap(), 16);
    let begun = Instant::now();
    assert!(guard.read(&mut read).await.is_err());
    assert!(begun.elapsed() <= Duration::from_secs(11));
}

const HEADER: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n";
const DATED: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_header_that_came_in_time_may_be_read_late() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let mut guard = Guard::new(server, terms());
    let mut read = [0; 64];
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(guard.read(&mut read).await.unwrap(), 16);
    client.write_all(b"host: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(guard.read(&mut read).await.unwrap(), 11);
}

#[tokio::test]
async fn a_header_leaves_with_the_date_that_was_noted_for_it() {
    for room in [1, 50, DATED.len(), 60, 1 << 16] {
        let (mut client, server) = tokio::io::duplex(room);
        let mut guard = Guard::new(Counted(server, 0), terms());
        let date = http::HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        guard.notes.date.keep(&date);
        let mut seen = vec![0; DATED.len() + 8];
        let written = async {
            guard.write_all(HEADER).await.unwrap();
            guard.write_all(b"the body").await.unwrap();
        };
        let ((), read) = tokio::join!(written, client.read_exact(&mut seen));
        read.unwrap();
        assert_eq!(seen, [DATED, b"the body"].concat(), "{room}");
    }
}

#[tokio::test]
async fn what_is_written_together_leaves_together() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let mut guard = Guard::new(Counted(server, 0), terms());
    let parts = [IoSlice::new(HEADER), IoSlice::new(b"the body")];
    let written = guard.write_vectored(&parts).await.unwrap();
    assert_eq!((written, guard.stream.1), (HEADER.len() + 8, 1));
    let mut seen = vec![0; written];
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, [HEADER, b"the body"].concat());
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_is_closed_once_its_client_has_closed_it() {
    let (mut client, mut guard) = h2(&terms()).await;
    let closing = tokio::spawn(async move {
        guard.write_all(b"the last of an answer").await.unwrap();
        AsyncWriteExt::shutdown(&mut guard).await.unwrap();
        Instant::now()
    });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"the last of an answer");
    // It makes room for more of what it has already, which nobody needs any more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    client.write_all(&frame(8, 0, &[0, 0, 1, 0])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!closing.is_finished());
    let closed = Instant::now();
    drop(client);
    assert_eq!(closing.await.unwrap(), closed);
    // Who never closes is waited for as long as for a header.
    let (_client, mut guard) = h2(&terms()).await;
    let begun = Instant::now();
    AsyncWriteExt::shutdown(&mut guard).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}
