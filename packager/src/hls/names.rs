//! What players choose sounds and subtitles by: one name and one language each within a group.

/// Gives names and says which languages were there before, in the order in which a group is written.
#[derive(Default)]
pub(super) struct Names {
    names: Vec<String>,
    languages: Vec<Option<String>>,
}

impl Names {
    /// A name that is unique within the group, as RFC 8216 §4.3.4.1.1 wants it: the label, else the language.
    pub(super) fn next(&mut self, label: Option<&str>, language: Option<&str>) -> String {
        let wanted = label.or(language).unwrap_or("default");
        let numbered = (2u32..).map(|number| format!("{wanted} ({number})"));
        let name = std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !self.names.contains(name))
            .unwrap_or_default();
        self.names.push(name.clone());
        name
    }

    /// Whether a player may choose a member by its language alone: the first of a language is (§4.3.4.1.1).
    pub(super) fn first_of(&mut self, language: Option<&str>) -> bool {
        let language = language.map(str::to_ascii_lowercase);
        let first = !self.languages.contains(&language);
        self.languages.push(language);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_group_differ() {
        let mut names = Names::default();
        let given = [
            names.next(None, Some("en")),
            names.next(None, Some("en")),
            names.next(Some("en"), Some("en")),
            names.next(Some("Comments"), Some("en")),
            names.next(None, None),
        ];
        assert_eq!(given, ["en", "en (2)", "en (3)", "Comments", "default"]);
    }

    #[test]
    fn only_the_first_of_a_language_is_chosen_by_it() {
        let mut names = Names::default();
        let first = [Some("en"), Some("de"), Some("EN"), None, None].map(|tag| names.first_of(tag));
        assert_eq!(first, [true, true, false, true, false]);
    }
}
