//! The promises of the memory of uploads in order, as tests that any adapter runs against its real engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken promise ends the test that found it"
)]

use catalog::videos::NewVideo;
use contracts::{
    asset::Privacy,
    id::{UploadId, UserId, VideoId},
    time::UnixSeconds,
};
use futures_util::future::join_all;
use store::{Digest, layout};

use super::{Concatenated, Kind, Piece, Running, Stream, Streams};
use crate::{
    jobs::NewJob,
    upload::{NewFilm, State, Upload, Uploads, Way},
};

/// Runs every promise against `port` and the `uploads` beside it, both empty, and panics at the
/// first that is broken.
pub async fn all(port: &dyn Streams, uploads: &dyn Uploads) {
    a_stream_is_found_as_it_was_made(port, uploads).await;
    of_those_who_add_to_the_same_bytes_one_does(port).await;
    a_piece_takes_the_place_of_a_shorter_one(port).await;
    what_does_not_receive_takes_nothing(port, uploads).await;
    parts_become_one_whole_with_their_pieces(port).await;
    only_whole_parts_are_put_together(port, uploads).await;
    no_part_is_used_up_without_a_film(port).await;
    whole_ones_that_nobody_is_at_are_taken_up_once(port, uploads).await;
    what_has_arrived_whole_does_not_expire(port, uploads).await;
    a_part_is_not_given_up_while_the_whole_waits(port, uploads).await;
}

async fn a_stream_is_found_as_it_was_made(port: &dyn Streams, uploads: &dyn Uploads) {
    let mut told = stream("told", Kind::Partial);
    told.upload.owner = Some(UserId::parse("ann").unwrap());
    told.metadata = "filename YQ==,x".to_owned();
    port.create(&told, NOW).await.unwrap().unwrap();
    let found = port.find(&told.upload.id).await.unwrap().unwrap();
    assert_eq!(found.upload, told.upload);
    assert_eq!((found.kind, found.arrived_bytes), (Kind::Partial, 0));
    assert_eq!(found.metadata, told.metadata);
    assert_eq!(found.running.unwrap().digest(), Digest::of(b""));
    assert!(found.parts.is_empty() && found.became.is_none());
    let known = uploads.find(&told.upload.id).await.unwrap();
    assert_eq!(
        known,
        Some(told.upload.clone()),
        "it is an upload as others"
    );
    assert!(port.create(&told, NOW).await.is_err(), "the id is taken");
    assert!(port.find(&id("absent")).await.unwrap().is_none());
    assert_eq!(port.pieces(&told.upload.id).await.unwrap(), []);
    assert_eq!(port.last(&told.upload.id).await.unwrap(), None);
}

async fn of_those_who_add_to_the_same_bytes_one_does(port: &dyn Streams) {
    let upload = begun(port, "race", Kind::Whole).await;
    let lengths: Vec<u64> = (1..=8).collect();
    let adding = lengths.iter().map(|length| {
        let upload = &upload;
        async move {
            let piece = piece(upload, 0, *length);
            add(port, upload, &[piece], *length).await
        }
    });
    let done = join_all(adding).await;
    let mut granted = lengths.iter().zip(&done).filter(|(_, done)| **done);
    let (length, _) = granted.next().unwrap();
    assert!(granted.next().is_none(), "{done:?}");
    let found = port.find(&upload).await.unwrap().unwrap();
    assert_eq!(found.arrived_bytes, *length);
    assert_eq!(found.running.unwrap().digest(), running(*length).digest());
    let pieces = port.pieces(&upload).await.unwrap();
    assert_eq!(pieces, [piece(&upload, 0, *length)]);
    for wrong in [0, length + 1] {
        let late = [piece(&upload, wrong, 1)];
        let running = running(0);
        let added = port.append(&upload, wrong, &late, &running, NOW).await;
        assert!(!added.unwrap(), "from {wrong}");
    }
    assert_eq!(port.pieces(&upload).await.unwrap(), pieces);
}

async fn a_piece_takes_the_place_of_a_shorter_one(port: &dyn Streams) {
    let upload = begun(port, "merge", Kind::Whole).await;
    let first = [piece(&upload, 0, 40), piece(&upload, 40, 3)];
    assert!(add(port, &upload, &first, 43).await);
    assert_eq!(port.last(&upload).await.unwrap().as_ref(), first.last());
    let longer = [piece(&upload, 40, 20), piece(&upload, 60, 40)];
    let running = running(100);
    let added = port.append(&upload, 43, &longer, &running, NOW).await;
    assert!(added.unwrap());
    let pieces = port.pieces(&upload).await.unwrap();
    let expected: Vec<Piece> = first.into_iter().take(1).chain(longer).collect();
    assert_eq!(pieces, expected);
    assert!(port.find(&upload).await.unwrap().unwrap().is_whole());
}

async fn what_does_not_receive_takes_nothing(port: &dyn Streams, uploads: &dyn Uploads) {
    let complete = stream("closed", Kind::Whole);
    port.create(&complete, NOW).await.unwrap().unwrap();
    let upload = complete.upload;
    let job = NewJob::first(upload.video, upload.original, String::new());
    let whole = Digest::of(b"");
    let done = uploads.complete(&upload.id, &whole, &job).await;
    assert!(done.unwrap());
    let removed = begun(port, "removed", Kind::Whole).await;
    let kept = [piece(&removed, 0, 1)];
    assert!(add(port, &removed, &kept, 1).await);
    assert!(uploads.remove(&removed).await.unwrap());
    for (upload, from) in [(upload.id, 0), (removed, 1), (id("absent"), 0)] {
        let late = [piece(&upload, from, 1)];
        let running = running(1);
        let added = port.append(&upload, from, &late, &running, NOW).await;
        assert!(!added.unwrap(), "{upload}");
        assert_eq!(port.pieces(&upload).await.unwrap(), [], "{upload}");
    }
}

async fn parts_become_one_whole_with_their_pieces(port: &dyn Streams) {
    let parts = [
        part(port, "part-2", 100).await,
        part(port, "part-1", 100).await,
    ];
    let mut whole = put_together("together", &parts);
    whole.upload.expires = UnixSeconds(5000);
    // Whoever does so at once.
    let other = put_together("together-too", &parts);
    let (film, other_film) = (film_of(&whole), film_of(&other));
    let (one, two) = tokio::join!(
        port.concatenate(&whole, &film, NOW),
        port.concatenate(&other, &other_film, NOW)
    );
    let (made, before) = match (one.unwrap(), two.unwrap()) {
        (Concatenated::Made, before) => (&whole, before),
        (before, Concatenated::Made) => (&other, before),
        neither => panic!("{neither:?}"),
    };
    let id = &made.upload.id;
    assert_eq!(before, Concatenated::Before(id.clone()));
    let found = port.find(id).await.unwrap().unwrap();
    assert_eq!((found.kind, found.arrived_bytes), (Kind::Final, 200));
    assert_eq!(found.parts, parts);
    let pieces = port.pieces(id).await.unwrap();
    let objects: Vec<_> = pieces.iter().map(|piece| piece.object.as_str()).collect();
    let [second, first] = &parts;
    let of = |upload: &UploadId, from, length| piece(upload, from, length).object;
    let expected = [
        of(second, 0, 60),
        of(second, 60, 40),
        of(first, 0, 60),
        of(first, 60, 40),
    ];
    assert_eq!(objects, expected.each_ref().map(store::Key::as_str));
    let starts: Vec<u64> = pieces.iter().map(|piece| piece.start_bytes).collect();
    assert_eq!(starts, [0, 60, 100, 160]);
    for part in &parts {
        let part = port.find(part).await.unwrap().unwrap();
        assert_eq!(part.became.as_ref(), Some(id));
        assert_eq!(part.upload.expires, made.upload.expires, "it lasts as long");
    }
    let again = Stream {
        metadata: "title YQ==".to_owned(),
        ..made.clone()
    };
    let refused = port.concatenate(&again, &film_of(&again), NOW).await;
    assert!(
        matches!(refused.unwrap(), Concatenated::Unready(_)),
        "another film"
    );
    let reversed = [first.clone(), second.clone()];
    let reversed = put_together("reversed", &reversed);
    let refused = port
        .concatenate(&reversed, &film_of(&reversed), NOW)
        .await
        .unwrap();
    assert!(matches!(refused, Concatenated::Unready(_)));
    assert!(port.find(&self::id("reversed")).await.unwrap().is_none());
    let more = [piece(id, 200, 1)];
    let running = running(1);
    assert!(!port.append(id, 200, &more, &running, NOW).await.unwrap());
}

async fn only_whole_parts_are_put_together(port: &dyn Streams, uploads: &dyn Uploads) {
    let sound = part(port, "sound", 100).await;
    let short = part(port, "short", 60).await;
    let film = begun(port, "film", Kind::Whole).await;
    let gone = part(port, "gone", 100).await;
    assert!(uploads.remove(&gone).await.unwrap());
    for (at, unfit) in [short, film, gone, id("absent")].into_iter().enumerate() {
        let whole = put_together(&format!("not-{at}"), &[sound.clone(), unfit.clone()]);
        let outcome = port
            .concatenate(&whole, &film_of(&whole), NOW)
            .await
            .unwrap();
        assert_eq!(outcome, Concatenated::Unready(unfit));
        assert!(port.find(&whole.upload.id).await.unwrap().is_none());
    }
    let sound = port.find(&sound).await.unwrap().unwrap();
    assert_eq!(
        (sound.became, sound.upload.expires),
        (None, UnixSeconds(1000))
    );
}

async fn no_part_is_used_up_without_a_film(port: &dyn Streams) {
    let parts = [
        part(port, "film-1", 100).await,
        part(port, "film-2", 100).await,
    ];
    let others = [
        part(port, "film-3", 100).await,
        part(port, "film-4", 100).await,
    ];
    let other = put_together("film-before", &others);
    let taken = film_of(&other);
    let made = port.concatenate(&other, &taken, NOW).await.unwrap();
    assert_eq!(made, Concatenated::Made);
    let first = put_together("film-whole", &parts);
    let outcome = port.concatenate(&first, &taken, NOW).await;
    assert!(outcome.is_err(), "there is such a film: {outcome:?}");
    assert!(port.find(&first.upload.id).await.unwrap().is_none());
    for part in &parts {
        assert_eq!(port.find(part).await.unwrap().unwrap().became, None);
    }
    let made = port.concatenate(&first, &film_of(&first), NOW).await;
    assert_eq!(made.unwrap(), Concatenated::Made);
}

async fn whole_ones_that_nobody_is_at_are_taken_up_once(port: &dyn Streams, uploads: &dyn Uploads) {
    // Whatever is whole by now is somebody's.
    let (past, far) = (UnixSeconds(10_000), UnixSeconds(90_000));
    port.take_whole(past, far, 99).await.unwrap();
    let at = |seconds: u64| UnixSeconds(20_000 + seconds);
    let names = ["whole-1", "whole-2", "whole-3"];
    for (name, touched) in names.iter().zip([2, 1, 9]) {
        let upload = begun(port, name, Kind::Whole).await;
        let all = [piece(&upload, 0, 100)];
        let running = running(100);
        let added = port.append(&upload, 0, &all, &running, at(touched)).await;
        assert!(added.unwrap());
    }
    let short = begun(port, "whole-not", Kind::Whole).await;
    let some = [piece(&short, 0, 99)];
    assert!(add(port, &short, &some, 99).await);
    let (one, two) = tokio::join!(
        port.take_whole(at(5), at(10), 99),
        port.take_whole(at(5), at(10), 99)
    );
    let mut taken = [one.unwrap(), two.unwrap()].concat();
    taken.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    assert_eq!(
        taken,
        [id("whole-1"), id("whole-2")],
        "part-1 is a part only"
    );
    port.touch(&id("whole-1"), at(20)).await.unwrap();
    assert!(uploads.remove(&id("whole-3")).await.unwrap());
    let later = port.take_whole(at(15), at(30), 1).await.unwrap();
    assert_eq!(later, [id("whole-2")]);
}

async fn what_has_arrived_whole_does_not_expire(port: &dyn Streams, uploads: &dyn Uploads) {
    let whole = begun(port, "lasts-whole", Kind::Whole).await;
    assert!(add(port, &whole, &[piece(&whole, 0, 100)], 100).await);
    let short = begun(port, "lasts-not", Kind::Whole).await;
    assert!(add(port, &short, &[piece(&short, 0, 99)], 99).await);
    let parts = [
        part(port, "lasts-1", 100).await,
        part(port, "lasts-2", 100).await,
    ];
    let alone = part(port, "lasts-alone", 100).await;
    let together = put_together("lasts-final", &parts);
    let made = port
        .concatenate(&together, &film_of(&together), NOW)
        .await
        .unwrap();
    assert_eq!(made, Concatenated::Made);
    let expired = async || {
        let found = uploads.expired(UnixSeconds(9999), 999).await.unwrap();
        let ids = found.into_iter().map(|upload| upload.id);
        let mut ids: Vec<_> = ids.filter(|id| id.as_str().starts_with("lasts-")).collect();
        ids.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        ids
    };
    assert_eq!(expired().await, [alone.clone(), short.clone()]);
    let job = NewJob::first(
        together.upload.video,
        together.upload.original,
        String::new(),
    );
    let digest = Digest::of(b"");
    let done = uploads.complete(&together.upload.id, &digest, &job);
    assert!(done.await.unwrap());
    let [one, two] = parts;
    assert_eq!(
        expired().await,
        [one, two, alone, short],
        "they are a film by now"
    );
}

async fn a_part_is_not_given_up_while_the_whole_waits(port: &dyn Streams, uploads: &dyn Uploads) {
    let give_up = async |id: &UploadId| {
        let upload = uploads.find(id).await.unwrap().unwrap();
        uploads.give_up(&upload, "cancelled", NOW).await.unwrap()
    };
    let parts = [
        part(port, "waits-1", 100).await,
        part(port, "waits-2", 100).await,
    ];
    let whole = put_together("waits", &parts);
    let film = film_of(&whole);
    let made = port.concatenate(&whole, &film, NOW).await;
    assert_eq!(made.unwrap(), Concatenated::Made);
    let [one, two] = &parts;
    assert!(!give_up(one).await, "its bytes are another's");
    assert_eq!(port.pieces(one).await.unwrap().len(), 2);
    assert!(give_up(&whole.upload.id).await);
    assert!(give_up(one).await, "it is its own again");

    let parts = [two.clone(), part(port, "waits-3", 100).await];
    let whole = put_together("waits-race", &parts);
    let film = film_of(&whole);
    let (made, gone) = tokio::join!(port.concatenate(&whole, &film, NOW), give_up(two));
    let made = made.unwrap() == Concatenated::Made;
    assert_ne!(made, gone, "whichever came first");
}

async fn begun(port: &dyn Streams, name: &str, kind: Kind) -> UploadId {
    let stream = stream(name, kind);
    port.create(&stream, NOW).await.unwrap().unwrap();
    stream.upload.id
}

async fn part(port: &dyn Streams, name: &str, arrived: u64) -> UploadId {
    let upload = begun(port, name, Kind::Partial).await;
    let pieces = [piece(&upload, 0, 60), piece(&upload, 60, arrived - 60)];
    let pieces = pieces.iter().filter(|piece| piece.size_bytes > 0).cloned();
    let pieces: Vec<Piece> = pieces.collect();
    assert!(add(port, &upload, &pieces, arrived).await);
    upload
}

/// Adds the first pieces of an upload, which come to this many bytes.
async fn add(port: &dyn Streams, upload: &UploadId, pieces: &[Piece], length: u64) -> bool {
    let running = running(length);
    let added = port.append(upload, 0, pieces, &running, NOW).await;
    added.unwrap()
}

fn put_together(name: &str, parts: &[UploadId]) -> Stream {
    let mut whole = stream(name, Kind::Final);
    whole.upload.size_bytes = 200;
    whole.arrived_bytes = 200;
    whole.running = None;
    whole.parts = parts.to_vec();
    whole
}

/// The film that an upload becomes.
pub(crate) fn film_of(whole: &Stream) -> NewFilm {
    let video = NewVideo {
        id: whole.upload.video.clone(),
        title: whole.upload.id.to_string(),
        privacy: Privacy::Public,
        protected: false,
    };
    let channel = None;
    NewFilm { video, channel }
}

fn id(name: &str) -> UploadId {
    UploadId::parse(name).unwrap()
}

fn piece(upload: &UploadId, start_bytes: u64, size_bytes: u64) -> Piece {
    Piece {
        start_bytes,
        size_bytes,
        object: layout::piece_from(upload, start_bytes, size_bytes.to_be_bytes()),
    }
}

fn running(length: u64) -> Running {
    let mut running = Running::default();
    (0..length).for_each(|_| running.add(b"x"));
    running
}

fn stream(name: &str, kind: Kind) -> Stream {
    let video = VideoId::parse(name).unwrap();
    Stream {
        upload: Upload {
            id: id(name),
            way: Way::Stream,
            owner: None,
            original: layout::original(&video, "mp4").unwrap(),
            video,
            size_bytes: 100,
            chunk_size_bytes: 40,
            sha256: None,
            state: State::Receiving,
            expires: UnixSeconds(1000),
            token: None,
        },
        kind,
        arrived_bytes: 0,
        running: Some(Running::default()),
        metadata: String::new(),
        parts: Vec::new(),
        became: None,
    }
}

const NOW: UnixSeconds = UnixSeconds(5);
