//! Somebody at a browser without scripts.

use super::support::{
    operators::role,
    tollgate::{Answer, Tollgate, http},
};

/// Who is signed in.
#[derive(Debug)]
pub(crate) struct Visitor<'a> {
    tollgate: &'a Tollgate,
    cookie: String,
}

impl<'a> Visitor<'a> {
    /// Signs in with a new key of a role.
    pub(crate) fn of_role(tollgate: &'a Tollgate, name: &str) -> Self {
        Self::with_key(tollgate, &role(tollgate, name))
    }

    /// Signs in with a key.
    pub(crate) fn with_key(tollgate: &'a Tollgate, key: &str) -> Self {
        let answer = send(tollgate, "/sign-in", OWN, &[("key", key)]);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/customers")));
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        let (cookie, _) = cookie.split_once(';').unwrap();
        Self { tollgate, cookie: cookie.to_owned() }
    }

    /// Asks for a page, whatever comes.
    pub(crate) fn ask(&self, path: &str) -> Answer {
        http(self.tollgate.operator, "GET", path, &[("cookie", &self.cookie)], None)
    }

    /// Reads a page.
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.ask(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// Sends a form of this very site.
    pub(crate) fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send_saying(path, OWN, fields)
    }

    /// Sends a form, with these headers beside the cookie.
    pub(crate) fn send_saying(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        send(self.tollgate, path, &[&[("cookie", self.cookie.as_str())], headers].concat(), fields)
    }

    /// Presses a button of a customer's page: sends its form with these fields beside the hidden
    /// ones, and reads the page that it leads to.
    pub(crate) fn act(&self, id: &str, verb: &str, fields: &[(&str, &str)]) -> String {
        let page = self.page(&format!("/customers/{id}"));
        let answer = self.send(&format!("/customers/{id}"), &with(&form(&page, verb), fields));
        assert_eq!(answer.status, 303, "{answer:?}");
        self.page(answer.header("location").unwrap())
    }
}

/// What a form sends for a click of a browser's.
pub(crate) fn send(
    tollgate: &Tollgate,
    path: &str,
    headers: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let kind = ("content-type", "application/x-www-form-urlencoded");
    http(tollgate.operator, "POST", path, &[&[kind], headers].concat(), Some(&body))
}

/// The hidden fields of the form that has `word` among their values.
pub(crate) fn form(page: &str, word: &str) -> Vec<(String, String)> {
    let forms = page.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap());
    let mut found = forms.map(hidden).filter(|fields| fields.iter().any(|(_, it)| it == word));
    found.next().unwrap_or_else(|| panic!("no form says {word}: {page}"))
}

fn hidden(form: &str) -> Vec<(String, String)> {
    let inputs = form.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap());
    let inputs = inputs.filter(|input| input.contains("type=\"hidden\""));
    let said = |input: &str, name: &str| {
        let (_, rest) = input.split_once(&format!("{name}=\""))?;
        Some(rest.split('"').next().unwrap().to_owned())
    };
    inputs.filter_map(|input| Some((said(input, "name")?, said(input, "value")?))).collect()
}

/// The CSRF token of a page's forms.
pub(crate) fn csrf(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split('"').next().unwrap()
}

/// What may be picked on a page.
pub(crate) fn picks(page: &str) -> Vec<(&str, &str)> {
    let picks = page.split("name=\"pick\"").skip(1);
    let values = picks.map(|rest| rest.split_once("value=\"").unwrap().1);
    values.map(|rest| ("pick", rest.split('"').next().unwrap())).collect()
}

/// Hidden fields and others.
pub(crate) fn with<'a>(
    hidden: &'a [(String, String)],
    others: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let replaced = |name: &str| others.iter().any(|(other, _)| *other == name);
    hidden.filter(|(name, _)| !replaced(name)).chain(others.iter().copied()).collect()
}

/// The words on a page's buttons and summaries.
pub(crate) fn buttons(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tag in ["<summary class=\"button\">", "<button class=\"primary\" type=\"submit\">"] {
        let rest = page.split(tag).skip(1);
        found.extend(rest.map(|it| it.split('<').next().unwrap().trim().to_owned()));
    }
    found
}

/// What a browser says of a form of this very site.
pub(crate) const OWN: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];
