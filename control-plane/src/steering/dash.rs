//! A DASH manifest with a location for each edge, made of the one that all viewers share (ISO/IEC 23009-1 §5.6,
//! ETSI TS 103 998 §10).
//!
//! What the shared manifest names is relative to it, so that bases at its top give every address.

use std::fmt::Write as _;

use crate::steering::Way;

/// The manifest with these locations, the first of which is to be begun with; none when the template is no manifest.
pub(crate) fn fill(template: &str, steering: &str, ways: &[Way<'_>]) -> Option<String> {
    let first = ways.first()?;
    let (head, rest) = template.split_once("<Period")?;
    if !head.contains("<MPD ") {
        return None;
    }
    let mut out = String::with_capacity(template.len() + 512 * (ways.len() + 1));
    out.push_str(head);
    for way in ways {
        let (id, base) = (way.id, escaped(&way.base));
        let _ = writeln!(out, "<BaseURL serviceLocation=\"{id}\">{base}</BaseURL>");
    }
    let (id, steering) = (first.id, escaped(steering));
    let _ = writeln!(
        out,
        "<ContentSteering defaultServiceLocation=\"{id}\" queryBeforeStart=\"false\">{steering}</ContentSteering>"
    );
    out.push_str("<Period");
    out.push_str(rest);
    Some(out)
}

fn escaped(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    escaped.replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edge_is_a_location_at_the_top_of_the_manifest() {
        let ways = [
            ("e1", "https://one/~t/v/f/"),
            ("e2", "https://two&/~u/v/f/"),
        ];
        let ways = ways.map(|(id, base)| Way {
            id,
            base: base.to_owned(),
        });
        let shared = "<?xml version=\"1.0\"?>\n<MPD type=\"static\">\n<Period id=\"0\">\n</Period>\n</MPD>\n";
        let filled = fill(shared, "https://api/v1/steering/s", &ways).unwrap();
        assert_eq!(
            filled,
            "<?xml version=\"1.0\"?>\n<MPD type=\"static\">\n\
            <BaseURL serviceLocation=\"e1\">https://one/~t/v/f/</BaseURL>\n\
            <BaseURL serviceLocation=\"e2\">https://two&amp;/~u/v/f/</BaseURL>\n\
            <ContentSteering defaultServiceLocation=\"e1\" queryBeforeStart=\"false\">https://api/v1/steering/s</ContentSteering>\n\
            <Period id=\"0\">\n</Period>\n</MPD>\n"
        );
    }

    #[test]
    fn what_is_no_manifest_is_not_filled() {
        let ways = [Way {
            id: "e1",
            base: "https://one/".to_owned(),
        }];
        for text in ["", "#EXTM3U\n", "<MPD type=\"static\"/>", "<Period"] {
            assert_eq!(fill(text, "https://api", &ways), None, "{text}");
        }
    }
}
