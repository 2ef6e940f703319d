//! The house stops cleanly and comes back as it was.

use crate::house::{Stage, millrace};

#[tokio::test]
async fn the_film_and_the_addresses_are_there_after_a_restart() {
    let stage = Stage::new();
    let house = stage.house();
    let (video, api, edge) = (
        house.video().to_owned(),
        house.fact("/api").to_owned(),
        house.fact("/edges/0/https").to_owned(),
    );
    assert!(house.stop().success(), "Ctrl-C is no failure");
    let house = stage.house();
    assert_eq!(
        (house.video(), house.fact("/api")),
        (video.as_str(), api.as_str())
    );
    assert_eq!(house.fact("/edges/0/https"), edge);
    let played = millrace(&["play", house.fact("/dash"), "--insecure"]);
    assert!(
        played.status.success(),
        "{}",
        String::from_utf8_lossy(&played.stdout)
    );
}

#[test]
fn a_second_house_in_the_same_folder_is_refused() {
    let stage = Stage::new();
    let _house = stage.house();
    let second = millrace(&["up", "--dir", &stage.path("house").display().to_string()]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another house"));
}
