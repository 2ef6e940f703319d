//! Both ends of a handover.

use super::*;

fn shell(script: &str) -> Program {
    Program {
        file: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
    }
}

fn estate() -> Estate {
    let listener = |name: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (name.to_owned(), listener)
    };
    Estate {
        listeners: vec![listener("https"), listener("internal")],
        facts: Facts::from([("tag".to_owned(), 7)]),
    }
}

/// Both ends of a handover, the old one's as the bare stream.
fn ends(estate: &Estate) -> (BufReader<UnixStream>, Elder) {
    let (ours, its) = StdStream::pair().unwrap();
    offer(&ours, estate).unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = UnixStream::from_std(ours).unwrap();
    (BufReader::new(ours), Elder::over(its).unwrap())
}

#[tokio::test]
async fn listeners_and_facts_go_over_and_the_end_of_the_old_process_is_heard() {
    let estate = estate();
    let (mut old, mut elder) = ends(&estate);
    assert_eq!(elder.facts(), &estate.facts);
    let (https, internal) = (&estate.listeners[0].1, &estate.listeners[1].1);
    let taken = elder.listener("plain", internal.local_addr().unwrap());
    let taken = taken.unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    assert!(elder.listener("internal", any).is_none(), "it was taken");
    let other = elder.listener("https", any).unwrap();
    assert_eq!(other.local_addr().unwrap(), https.local_addr().unwrap());
    // It is the same socket: what was connecting to one is accepted by the other.
    let client = std::net::TcpStream::connect(internal.local_addr().unwrap()).unwrap();
    let (_, peer) = taken.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let facts = elder.ask().await.unwrap();
        elder.serving().await;
        elder.gone().await;
        facts
    });
    let mut line = String::new();
    old.read_line(&mut line).await.unwrap();
    old.get_mut()
        .write_all(b"yours {\"through\":9}\n")
        .await
        .unwrap();
    old.read_line(&mut line).await.unwrap();
    assert_eq!(line, "ready\nserving\n");
    assert!(!asked.is_finished());
    drop(old);
    assert_eq!(
        asked.await.unwrap(),
        Facts::from([("through".to_owned(), 9)])
    );
}

#[tokio::test]
async fn an_old_process_that_ends_has_let_go_and_one_that_says_something_else_has_not() {
    let (old, mut elder) = ends(&Estate::default());
    drop(old);
    assert_eq!(elder.ask().await.unwrap(), Facts::new());
    for said in ["mine\n", "yours {\n", "yours []\n"] {
        let (mut old, mut elder) = ends(&Estate::default());
        old.get_mut().write_all(said.as_bytes()).await.unwrap();
        assert!(elder.ask().await.is_err(), "{said}");
    }
}

#[tokio::test]
async fn a_new_process_is_one_that_speaks_in_time() {
    let soon = Duration::from_secs(30);
    let mut heir = Heir::start(&shell("exit 3"), &estate()).unwrap();
    let failed = heir.ready(soon).await.unwrap_err().to_string();
    assert!(failed.contains("exit status: 3"), "{failed}");
    let mut heir = Heir::start(&shell("exec sleep 1000"), &estate()).unwrap();
    let late = heir.ready(Duration::from_millis(10)).await;
    assert!(matches!(late, Err(Failed::Late(_))));
    heir.end().await;
    let script = "echo ready >&0; read -r line; read -r yours; echo \"$yours\" | grep -q yours && echo serving >&0";
    let mut heir = Heir::start(&shell(script), &estate()).unwrap();
    heir.ready(soon).await.unwrap();
    heir.give(&Facts::new()).await.unwrap();
    assert!(heir.serving(soon).await.unwrap().is_some());
    let absent = Program {
        file: "/nowhere".into(),
        arguments: Vec::new(),
    };
    assert!(matches!(
        Heir::start(&absent, &estate()),
        Err(Failed::Start(_))
    ));
}
