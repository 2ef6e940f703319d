//! Parents that fail, and who answers in their place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tier::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use crate::house::{House, signed};

/// A parent that closes each connection when a second request comes over it. The first of so many connections are
/// answered together.
async fn closes_what_is_kept(together: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, barrier) = (AtomicUsize::new(0), Arc::new(Barrier::new(together)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let is_first = count.fetch_add(1, Ordering::SeqCst) < together;
            let barrier = is_first.then(|| Arc::clone(&barrier));
            tokio::spawn(answer_once(stream, barrier));
        }
    });
    address
}

async fn answer_once(mut stream: TcpStream, barrier: Option<Arc<Barrier>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    stream.read_buf(&mut head).await?;
    if let Some(barrier) = barrier {
        barrier.wait().await;
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncache-control: max-age=60\r\n\r\nx";
    stream.write_all(answer).await?;
    stream.read_buf(&mut head).await?;
    Ok(())
}

#[tokio::test]
async fn where_a_kept_connection_was_closed_the_next_attempt_takes_a_new_one() {
    const KEPT: usize = 8;
    let parent = closes_what_is_kept(KEPT).await;
    let house = House::before(format!("http://{parent}"), |_| {}).await;
    let get = |n: usize| {
        let client = house.client(Protocol::H1);
        let target = signed(&format!("/v/a/{n}"));
        tokio::spawn(async move { client.get(&target, &[]).await.status })
    };
    let first: Vec<_> = (0..KEPT).map(get).collect();
    for status in first {
        assert_eq!(status.await.unwrap(), 200);
    }
    for n in KEPT..2 * KEPT {
        assert_eq!(get(n).await.unwrap(), 200, "{n}");
    }
}
