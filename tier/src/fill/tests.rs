//! What is stored, for how long, and what is done with it then.

use std::time::UNIX_EPOCH;

use super::*;

const SITE: Policy = Policy::Site(Site {
    heuristic: Duration::from_secs(600),
    disconnected: Duration::from_secs(30),
    obeys_clients: true,
    shares_cookies: false,
});

/// Sun, 06 Nov 1994 08:49:37 GMT
const THEN: u64 = 784_111_777;
const CHANGED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:48:37 GMT");

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(THEN + seconds)
}

fn response(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
    let mut response = ResponseHeader::build(status, None).unwrap();
    for (name, value) in fields {
        response.append_header(*name, *value).unwrap();
    }
    response
}

fn asked(fields: &[(&'static str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    for (name, value) in fields {
        request.append_header(*name, *value).unwrap();
    }
    request
}

fn case<'a>(request: &'a RequestHeader, response: &'a ResponseHeader, age: Age) -> Case<'a> {
    let arrival = Arrival {
        requested: at(0),
        received: at(0),
    };
    Case {
        request,
        response,
        age,
        arrival,
        part: false,
    }
}

fn kept(policy: &Policy, status: u16, fields: &[(&'static str, &str)]) -> Option<CacheMeta> {
    let (request, response) = (asked(&[]), response(status, fields));
    match decide(policy, &case(&request, &response, Age::Absent)) {
        RespCacheable::Cacheable(meta) => Some(meta),
        RespCacheable::Uncacheable(_) => None,
    }
}

fn film(status: u16, fields: &[(&'static str, &str)]) -> Option<CacheMeta> {
    let sized = [fields, &[("content-length", "5")]].concat();
    kept(&Policy::Films, status, &sized)
}

#[test]
fn of_a_film_only_whole_answers_with_explicit_freshness_are_stored() {
    let fresh = ("cache-control", "max-age=60");
    assert!(film(200, &[fresh]).is_some());
    assert!(film(404, &[fresh]).is_some());
    for status in [206, 302, 400, 403, 500, 502, 503] {
        assert!(film(status, &[fresh]).is_none(), "{status}");
    }
    assert!(film(200, &[CHANGED, ("etag", "\"a\"")]).is_none());
    assert!(film(404, &[]).is_none());
    assert!(film(200, &[("cache-control", "no-store, max-age=60")]).is_none());
    assert!(film(200, &[("cache-control", "private, max-age=60")]).is_none());
    assert!(film(200, &[fresh, ("vary", "a, *")]).is_none());
    assert!(film(200, &[fresh, ("set-cookie", "a=b")]).is_none());
    assert!(kept(&Policy::Films, 200, &[fresh]).is_none(), "no end");
}

#[test]
fn of_a_site_every_final_answer_with_explicit_freshness_is_stored() {
    let fresh = ("cache-control", "max-age=60");
    for status in [200, 204, 299, 302, 400, 403, 500, 503, 599] {
        assert!(kept(&SITE, status, &[fresh]).is_some(), "{status}");
    }
    for status in [206, 304] {
        assert!(kept(&SITE, status, &[fresh]).is_none(), "{status}");
    }
    assert!(
        kept(&SITE, 200, &[fresh, ("set-cookie", "a=b")]).is_some(),
        "RFC 9111 §7.3"
    );
    assert!(kept(&SITE, 200, &[fresh, ("vary", "a, *")]).is_none());
    assert!(kept(&SITE, 200, &[fresh, ("cache-control", "private")]).is_none());
    assert!(
        kept(&SITE, 200, &[fresh, ("cdn-cache-control", "no-store")]).is_none(),
        "RFC 9213"
    );
    let understood = [("cache-control", "max-age=60, must-understand, no-store")];
    assert!(kept(&SITE, 200, &understood).is_some() && kept(&SITE, 599, &understood).is_none());
}

#[test]
fn of_a_site_what_has_long_been_the_same_is_fresh_for_a_while() {
    let life = |status, fields: &[_]| {
        let meta = kept(&SITE, status, fields)?;
        meta.fresh_until().duration_since(at(0)).ok()
    };
    let dated = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(life(200, &[CHANGED, dated]), Some(Duration::from_secs(6)));
    assert_eq!(life(200, &[CHANGED]), Some(Duration::from_secs(6)));
    let long_ago = ("last-modified", "Sun, 06 Nov 1983 08:49:37 GMT");
    assert_eq!(life(404, &[long_ago]), Some(Duration::from_secs(600)));
    for status in [201, 202, 403, 502, 503, 599] {
        assert!(kept(&SITE, status, &[CHANGED]).is_none(), "{status}");
    }
    assert!(life(599, &[CHANGED, ("cache-control", "public")]).is_some());
    assert_eq!(
        life(200, &[CHANGED, ("set-cookie", "a=b")]),
        None,
        "to be validated"
    );
    assert!(kept(&SITE, 200, &[]).is_none() && kept(&SITE, 404, &[("etag", "\"a\"")]).is_none());
}

#[test]
fn of_a_site_what_was_asked_with_authorization_is_stored_only_where_it_says_so() {
    let request = asked(&[("authorization", "x")]);
    for (control, stored) in [
        ("max-age=60", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
    ] {
        let response = response(200, &[("cache-control", control)]);
        let decided = decide(&SITE, &case(&request, &response, Age::Absent));
        assert_eq!(decided.is_cacheable(), stored, "{control}");
    }
}

#[test]
fn time_spent_on_the_way_shortens_freshness() {
    let response = response(
        200,
        &[("cache-control", "max-age=60"), ("content-length", "0")],
    );
    let request = asked(&[]);
    for (age_s, left_s) in [(45, Some(15)), (60, None), (90, None)] {
        let age = Age::Is(Duration::from_secs(age_s));
        let decided = decide(&Policy::Films, &case(&request, &response, age));
        let RespCacheable::Cacheable(meta) = decided else {
            panic!("stored");
        };
        let left = meta.fresh_until().duration_since(meta.created()).ok();
        assert_eq!(left.map(|left| left.as_secs()), left_s);
        assert_eq!(meta.is_fresh(meta.created()), left_s.is_some());
        assert_eq!(meta.epoch(), at(0) - Duration::from_secs(age_s));
    }
    let decided = decide(&Policy::Films, &case(&request, &response, Age::Unclear));
    let meta = decided.unwrap_meta();
    assert!(!meta.is_fresh(meta.created()), "it may be of any age");
}

#[test]
fn the_origin_may_close_the_stale_windows() {
    let windows = |policy: &Policy, more: &str| {
        let lenient = "max-age=1, stale-while-revalidate=9, stale-if-error=9";
        let control = format!("{lenient}{more}");
        let fields = [("cache-control", control.as_str()), ("content-length", "0")];
        let meta = kept(policy, 200, &fields).unwrap();
        (meta.stale_while_revalidate_sec(), meta.stale_if_error_sec())
    };
    assert_eq!(windows(&Policy::Films, ""), (9, 9));
    assert_eq!(windows(&SITE, ""), (9, 30));
    for strict in [
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage=1",
        "no-cache",
    ] {
        for policy in [&Policy::Films, &SITE] {
            assert_eq!(windows(policy, &format!(", {strict}")), (0, 0), "{strict}");
        }
    }
}

#[test]
fn only_the_faults_that_rfc_5861_names_are_covered_and_only_in_time() {
    let fields = [("cache-control", "max-age=1, stale-if-error=9")];
    let meta = kept(&SITE, 200, &fields).unwrap();
    for status in [500, 502, 503, 504] {
        assert!(covers_error(&meta, status, at(10)));
        assert!(
            !covers_error(&meta, status, at(11)),
            "the window for lost connections is longer"
        );
    }
    assert!(!covers_error(&meta, 501, at(2)) && !covers_error(&meta, 404, at(2)));
    let silent = kept(&SITE, 200, &[("cache-control", "max-age=1")]).unwrap();
    assert!(!covers_error(&silent, 503, at(2)));
}

#[test]
fn fields_that_the_origin_withholds_are_not_stored() {
    let control = "max-age=60, no-cache=\"a\", private=\"b, set-cookie\"";
    let fields = [
        ("cache-control", control),
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("set-cookie", "d"),
    ];
    let meta = kept(&SITE, 200, &fields).unwrap();
    let mut names: Vec<&str> = meta.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["c", "cache-control"]);
}

#[test]
fn a_cookie_goes_to_all_only_where_the_answer_is_meant_for_all_or_the_operator_says_so() {
    let sharing = match SITE {
        Policy::Site(site) => Policy::Site(Site {
            shares_cookies: true,
            ..site
        }),
        Policy::Films => Policy::Films,
    };
    for (policy, control, shared) in [
        (&SITE, "max-age=60", false),
        (&SITE, "max-age=60, private=\"set-cookie\"", false),
        (&SITE, "max-age=60, public", true),
        (&SITE, "s-maxage=60", true),
        (&sharing, "max-age=60", true),
        (&sharing, "max-age=60, no-cache=\"set-cookie\"", false),
    ] {
        let fields = [("cache-control", control), ("set-cookie", "a=b")];
        let meta = kept(policy, 200, &fields).unwrap();
        let kept = meta.headers().contains_key("set-cookie");
        assert_eq!(kept, shared, "{control}");
        let withheld = withheld_of(policy, &response(200, &fields));
        assert_eq!(withheld.len(), usize::from(!shared), "{control}");
    }
}

#[test]
fn what_was_validated_lives_on_by_what_the_304_says() {
    let stored = kept(
        &SITE,
        200,
        &[
            ("cache-control", "max-age=1"),
            ("etag", "\"a\""),
            ("x", "1"),
        ],
    );
    let stored = stored.unwrap();
    let request = asked(&[]);
    let news = response(
        304,
        &[
            ("cache-control", "max-age=60"),
            ("x", "2"),
            ("etag", "\"a\""),
        ],
    );
    let Renewed::Kept(meta) = renew(&SITE, &stored, &case(&request, &news, Age::Absent)) else {
        panic!("it has not changed");
    };
    assert_eq!(meta.fresh_until(), at(60));
    assert_eq!(
        (
            meta.headers().get("x").unwrap(),
            meta.response_header().status.as_u16()
        ),
        (&HeaderValue::from_static("2"), 200)
    );
    for spent in [("etag", "\"b\""), ("cache-control", "no-store")] {
        let news = response(304, &[spent]);
        let renewed = renew(&SITE, &stored, &case(&request, &news, Age::Absent));
        let Renewed::Spent(meta) = renewed else {
            panic!("{spent:?}");
        };
        assert!(!meta.is_fresh(at(0)));
        assert_eq!(meta.headers().get("etag").unwrap(), "\"a\"");
    }
}

#[test]
fn clients_may_want_it_fresher_or_take_it_staler() {
    let weighed = |control: &str, stored: &CacheMeta, now| {
        let wishes = Wishes::of(&asked(&[("cache-control", control)]).headers);
        weigh(&wishes, stored, at(now))
    };
    let stored = kept(&SITE, 200, &[("cache-control", "max-age=10")]).unwrap();
    for fine in ["max-age=5", "min-fresh=5", "max-stale=5", "x"] {
        assert!(weighed(fine, &stored, 5).is_none(), "{fine}");
    }
    for passed_over in ["max-age=4", "min-fresh=6", "no-cache", "max-age=x"] {
        let forced = weighed(passed_over, &stored, 5);
        assert!(
            matches!(forced, Some(ForcedFreshness::ForceExpired)),
            "{passed_over}"
        );
    }
    for endured in ["max-stale", "max-stale=2"] {
        let forced = weighed(endured, &stored, 12);
        assert!(
            matches!(forced, Some(ForcedFreshness::ForceFresh)),
            "{endured}"
        );
    }
    assert!(weighed("max-stale=1", &stored, 12).is_none());
    let strict = kept(
        &SITE,
        200,
        &[("cache-control", "max-age=10, must-revalidate")],
    )
    .unwrap();
    assert!(weighed("max-stale", &strict, 12).is_none());
}

#[test]
fn a_body_that_ends_with_the_connection_has_no_sure_end() {
    assert!(has_end(&response(200, &[("content-length", "0")])));
    assert!(has_end(&response(
        200,
        &[("transfer-encoding", "gzip, Chunked")]
    )));
    assert!(!has_end(&response(200, &[])));
    assert!(!has_end(&response(200, &[("transfer-encoding", "gzip")])));
}

#[test]
fn a_part_is_stored_when_it_was_asked_for_and_says_which_it_is() {
    let request = asked(&[("range", "bytes=-5")]);
    let stored = |part: bool, fields: &[(&'static str, &str)]| {
        let fields = [fields, &[("cache-control", "max-age=60")]].concat();
        let response = response(206, &fields);
        let case = case(&request, &response, Age::Absent);
        decide(&SITE, &Case { part, ..case }).is_cacheable()
    };
    let range = ("content-range", "bytes 5-9/10");
    assert!(stored(true, &[range]));
    assert!(!stored(false, &[range]), "nobody asked for it");
    assert!(!stored(true, &[]), "many parts, or none");
    assert!(kept(&SITE, 416, &[("cache-control", "max-age=60")]).is_none());
}

#[test]
fn the_answer_to_a_post_is_stored_only_as_the_thing_itself() {
    let mut request = asked(&[("host", "a")]);
    request.set_method(Method::POST);
    request.set_uri("/list?all".parse().unwrap());
    let stored = |status: u16, fields: &[(&'static str, &str)]| {
        let response = response(status, fields);
        decide(&SITE, &case(&request, &response, Age::Absent)).is_cacheable()
    };
    let (fresh, own) = (
        ("cache-control", "max-age=60"),
        ("content-location", "//A/list?all"),
    );
    assert!(stored(200, &[fresh, own]));
    assert!(!stored(200, &[fresh]) && !stored(201, &[fresh, own]));
    assert!(!stored(200, &[fresh, ("content-location", "/list")]));
    assert!(
        !stored(200, &[own, CHANGED, ("etag", "\"a\"")]),
        "nothing is guessed"
    );
}
