//! The watch page as it is served.

use crate::house::{House, problem};

async fn with_page() -> House {
    House::with(|config, dir| {
        let root = dir.path().join("web");
        std::fs::create_dir_all(root.join("assets")).unwrap();
        std::fs::write(root.join("index.html"), "<!doctype html><title>x</title>").unwrap();
        std::fs::write(root.join("assets/app-1a2b.js"), "export {}").unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        config.web_root = root.display().to_string();
    })
    .await
}

#[tokio::test]
async fn the_page_is_asked_for_anew_and_its_assets_never_again() {
    let house = with_page().await;
    for path in ["/", "/watch", "/watch?v=film1", "/studio"] {
        let page = house.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(page.headers()["content-type"], "text/html");
        assert_eq!(page.headers()["cache-control"], "no-cache");
        assert_eq!(page.headers()["x-content-type-options"], "nosniff");
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self';",
            "connect-src 'self' https: http: blob: data:",
            "worker-src 'self' blob:",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe-eval"), "{policy}");
        assert!(page.text().await.unwrap().contains("<title>x"));
    }
    let asset = house.get("/assets/app-1a2b.js").await;
    assert_eq!(asset.headers()["content-type"], "text/javascript");
    let cached = asset.headers()["cache-control"].to_str().unwrap();
    assert!(cached.contains("immutable"), "{cached}");
    let missing = house.get("/assets/gone.js").await;
    problem(missing, 404, "not-found").await;
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let house = with_page().await;
    for target in [
        "/assets/../../secret",
        "/assets/%2e%2e/%2e%2e/secret",
        "/..%2fsecret",
        "/assets/..%5c..%5csecret",
        "/catalog.db",
    ] {
        // Written by hand: a client would tidy the path.
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(house.running.listen)
            .await
            .unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{target} {answer}");
        assert!(!answer.contains("secret"), "{target}");
    }
}

#[tokio::test]
async fn without_a_page_the_root_says_what_to_do() {
    for root in ["", "/nowhere/at/all"] {
        let house = House::with(|config, _| config.web_root = root.into()).await;
        let page = house.get("/").await;
        assert_eq!(page.status(), 404);
        assert!(
            page.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/plain")
        );
        assert!(page.text().await.unwrap().contains("web_root"));
        problem(house.get("/assets/app.js").await, 404, "not-found").await;
    }
}
