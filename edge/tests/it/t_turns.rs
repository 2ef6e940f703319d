//! Which answer of an HTTP/2 connection goes first: RFC 9218.

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use tier::Protocol;

use crate::house::{House, signed};
use crate::origin::{Origin, Reply};

#[tokio::test]
async fn a_list_comes_before_the_rest_of_a_segment_that_was_asked_for_earlier() {
    let (_house, viewer) = viewer(LARGE, WINDOW).await;
    let segment = ask(&viewer, "/v/p/segment", "").await;
    let list = ask(&viewer, "/v/p/list", "").await;
    let before = of_other_until_end(list, segment).await;
    assert!(before < 4 * WINDOW, "{before} bytes came before the list");
}

#[tokio::test]
async fn what_the_client_calls_urgent_comes_before_what_it_calls_less_urgent() {
    let (_house, viewer) = viewer(LARGE, WINDOW).await;
    let later = ask(&viewer, "/v/p/segment", "u=5").await;
    let sooner = ask(&viewer, "/v/p/other", "u=1, i").await;
    let before = of_other_until_end(sooner, later).await;
    assert!(before < 4 * WINDOW, "{before} bytes came before them");
}

#[tokio::test]
async fn an_urgent_answer_that_its_client_has_no_room_for_holds_nobody_back() {
    let (_house, viewer) = viewer(WINDOW, 16 * WINDOW).await;
    let list = ask(&viewer, "/v/p/list", "").await;
    let segment = ask(&viewer, "/v/p/segment", "").await;
    assert_eq!(whole(segment).await, LARGE as usize);
    assert_eq!(whole(list).await, LARGE as usize);
}

/// Speaks with an edge, and can take so much of an answer and of all together before it has read any.
async fn viewer(of_stream: u32, of_connection: u32) -> (House, SendRequest<Bytes>) {
    let origin = Origin::start(|head| {
        let body = Reply::ok(vec![7; LARGE as usize]);
        if head.contains("/list") {
            body.field("content-type", "application/vnd.apple.mpegurl")
        } else {
            body
        }
    })
    .await;
    let house = House::open(&origin).await;
    let stream = house.client(Protocol::H2).tls("h2").await;
    let (sender, connection) = Builder::new()
        .initial_window_size(of_stream)
        .initial_connection_window_size(of_connection)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    // The house keeps what it needs of the origin: its address. What was asked once is a hit.
    for path in ["/v/p/segment", "/v/p/list", "/v/p/other"] {
        let warm = house.client(Protocol::H1).get(&signed(path), &[]).await;
        assert_eq!(warm.bytes().len(), LARGE as usize);
    }
    (house, sender)
}

async fn ask(viewer: &SendRequest<Bytes>, path: &str, priority: &str) -> RecvStream {
    let mut viewer = viewer.clone().ready().await.unwrap();
    let request = http::Request::get(format!("https://localhost{}", signed(path)))
        .header("priority", priority)
        .body(())
        .unwrap();
    let (answer, _) = viewer.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

/// Reads both as they come, and says how much of the other one came before the first one's end.
async fn of_other_until_end(mut first: RecvStream, mut other: RecvStream) -> u32 {
    let mut of_other = 0;
    loop {
        tokio::select! {
            biased;
            data = take(&mut other) => of_other += data.expect("the other one to end later"),
            data = take(&mut first) => if data.is_none() {
                return of_other;
            },
        }
    }
}

async fn whole(mut body: RecvStream) -> usize {
    let mut length = 0;
    while let Some(data) = take(&mut body).await {
        length += data as usize;
    }
    length
}

async fn take(body: &mut RecvStream) -> Option<u32> {
    let length = body.data().await?.unwrap().len();
    body.flow_control().release_capacity(length).unwrap();
    Some(u32::try_from(length).unwrap())
}

/// What may be sent without being asked for more, where nothing else is said (RFC 9113 §6.9.2).
const WINDOW: u32 = 65_535;
const LARGE: u32 = 2_000_000;
