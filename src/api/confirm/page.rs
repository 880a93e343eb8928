//! The page in four languages. It holds nothing of the order: no name, no address, no number.

use axum::http::{HeaderMap, header};

/// A language that the page speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Language {
    English,
    German,
    French,
    Spanish,
}

impl Language {
    pub(in crate::api) const ALL: [Self; 4] = [Self::English, Self::German, Self::French, Self::Spanish];

    /// The language of a locale such as `de-AT`; where it is none of ours, the one that the browser prefers.
    pub(in crate::api) fn of(locale: &str, headers: &HeaderMap) -> Self {
        Self::known(locale).unwrap_or_else(|| Self::accepted(headers))
    }

    /// The first language of ours that a browser names; what it prefers less counts less only by its place.
    pub(in crate::api) fn accepted(headers: &HeaderMap) -> Self {
        let named = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        named
            .split(',')
            .take(16)
            .find_map(|part| Self::known(part.split(';').next()?.trim()))
            .unwrap_or(Self::English)
    }

    pub(in crate::api) fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
        }
    }

    fn known(locale: &str) -> Option<Self> {
        let language = locale.split(['-', '_']).next()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|known| known.as_str() == language)
    }

    fn texts(self) -> Texts {
        match self {
            Self::English => Texts {
                question: "Have your books arrived?",
                received: "Received",
                not_received: "Not received",
                thanks: "Thank you. You told us that your books have arrived.",
                sorry: "Thank you for telling us. You told us that your books have not arrived. We are looking into it.",
                unknown: "This link does not lead anywhere, or its time is over.",
                not_understood: "We did not understand the answer. Please open the link again and choose one of the two buttons.",
                unavailable: "We cannot take your answer at the moment. Please try again in a few minutes.",
            },
            Self::German => Texts {
                question: "Sind Ihre Bücher angekommen?",
                received: "Erhalten",
                not_received: "Nicht erhalten",
                thanks: "Vielen Dank. Sie haben uns gesagt, dass Ihre Bücher angekommen sind.",
                sorry: "Danke für Ihre Nachricht. Sie haben uns gesagt, dass Ihre Bücher nicht angekommen sind. Wir kümmern uns darum.",
                unknown: "Dieser Link führt nirgendwohin, oder seine Zeit ist abgelaufen.",
                not_understood: "Wir haben die Antwort nicht verstanden. Bitte öffnen Sie den Link noch einmal und wählen Sie einen der beiden Knöpfe.",
                unavailable: "Im Augenblick können wir Ihre Antwort nicht annehmen. Bitte versuchen Sie es in einigen Minuten noch einmal.",
            },
            Self::French => Texts {
                question: "Vos livres sont-ils arrivés ?",
                received: "Reçus",
                not_received: "Non reçus",
                thanks: "Merci. Vous nous avez indiqué que vos livres sont arrivés.",
                sorry: "Merci de nous avoir prévenus. Vous nous avez indiqué que vos livres ne sont pas arrivés. Nous nous en occupons.",
                unknown: "Ce lien ne mène nulle part, ou il a expiré.",
                not_understood: "Nous n’avons pas compris la réponse. Veuillez rouvrir le lien et choisir l’un des deux boutons.",
                unavailable: "Nous ne pouvons pas recevoir votre réponse pour le moment. Veuillez réessayer dans quelques minutes.",
            },
            Self::Spanish => Texts {
                question: "¿Han llegado sus libros?",
                received: "Recibidos",
                not_received: "No recibidos",
                thanks: "Gracias. Nos ha indicado que sus libros han llegado.",
                sorry: "Gracias por avisarnos. Nos ha indicado que sus libros no han llegado. Nos ocupamos de ello.",
                unknown: "Este enlace no lleva a ninguna parte o ha caducado.",
                not_understood: "No hemos entendido la respuesta. Abra de nuevo el enlace y elija uno de los dos botones.",
                unavailable: "En este momento no podemos recibir su respuesta. Inténtelo de nuevo dentro de unos minutos.",
            },
        }
    }
}

struct Texts {
    question: &'static str,
    received: &'static str,
    not_received: &'static str,
    thanks: &'static str,
    sorry: &'static str,
    unknown: &'static str,
    not_understood: &'static str,
    unavailable: &'static str,
}

/// What the page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Question,
    Received,
    NotReceived,
    Unknown,
    NotUnderstood,
    Unavailable,
}

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;margin:0;background:#f6f6f4;color:#1c1c1a}\
main{max-width:30rem;margin:0 auto;padding:3rem 1.5rem}\
h1{font-size:1.5rem;font-weight:600}\
form{display:grid;grid-template-columns:1fr 1fr;gap:1rem;margin-top:2rem}\
button{font:inherit;padding:1rem;min-height:3.5rem;border:2px solid #1c1c1a;border-radius:.5rem;background:#fff;color:inherit;cursor:pointer}\
button:focus-visible,input:focus-visible{outline:3px solid #0b57d0;outline-offset:2px}\
form.entry{grid-template-columns:1fr}\
input{font:inherit;font-size:1.6rem;letter-spacing:.3em;padding:.75rem;border:2px solid #1c1c1a;border-radius:.5rem;min-width:0}\
p.code{font-size:3rem;font-weight:600;letter-spacing:.2em;margin:1rem 0}";

/// The page as HTML. Everything in it is written here, so there is nothing to escape.
pub(super) fn render(language: Language, page: Page) -> String {
    let texts = language.texts();
    let said = match page {
        Page::Question => texts.question,
        Page::Received => texts.thanks,
        Page::NotReceived => texts.sorry,
        Page::Unknown => texts.unknown,
        Page::NotUnderstood => texts.not_understood,
        Page::Unavailable => texts.unavailable,
    };
    let form = match page {
        Page::Question => format!(
            "<form method=\"post\" aria-labelledby=\"said\"><button name=\"received\" value=\"yes\">{}</button>\
             <button name=\"received\" value=\"no\">{}</button></form>",
            texts.received, texts.not_received
        ),
        _ => String::new(),
    };
    document(language, texts.question, &format!("<h1 id=\"said\">{said}</h1>{form}"))
}

/// A whole page around what it says. Nothing of it comes from elsewhere.
pub(in crate::api) fn document(language: Language, title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><meta name=\"referrer\" content=\"no-referrer\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main>{body}</main></body></html>\n",
        language.as_str(),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PAGES: [Page; 6] = [
        Page::Question,
        Page::Received,
        Page::NotReceived,
        Page::Unknown,
        Page::NotUnderstood,
        Page::Unavailable,
    ];

    #[test]
    fn every_page_speaks_every_language() {
        let mut seen = std::collections::BTreeSet::new();
        for language in Language::ALL {
            for page in PAGES {
                let html = render(language, page);

                assert!(html.contains(&format!("<html lang=\"{}\">", language.as_str())));
                assert!(html.contains("<meta name=\"robots\" content=\"noindex\">"));
                assert!(seen.insert(html), "{language:?} says {page:?} as another page does");
            }
        }
        assert_eq!(seen.len(), 24);
    }

    #[test]
    fn only_the_question_has_buttons_and_they_are_equally_large() {
        for language in Language::ALL {
            let question = render(language, Page::Question);
            assert_eq!(question.matches("<button ").count(), 2);
            assert!(question.contains("grid-template-columns:1fr 1fr"));
            assert!(question.contains("value=\"yes\"") && question.contains("value=\"no\""));
            for page in PAGES.into_iter().filter(|page| *page != Page::Question) {
                assert!(!render(language, page).contains("<form"), "{page:?}");
            }
        }
    }

    #[test]
    fn nothing_on_the_page_comes_from_elsewhere() {
        for language in Language::ALL {
            for page in PAGES {
                let html = render(language, page);
                for outside in ["http", "src=", "href=", "url(", "<script"] {
                    assert!(!html.contains(outside), "{outside}");
                }
            }
        }
    }

    #[test]
    fn a_locale_means_its_language() {
        let cases = [
            ("de", Language::German),
            ("de-AT", Language::German),
            ("FR_ca", Language::French),
            ("es", Language::Spanish),
            ("en-GB", Language::English),
            ("pl", Language::English),
            ("", Language::English),
            ("deutsch", Language::English),
        ];
        for (locale, language) in cases {
            assert_eq!(Language::of(locale, &HeaderMap::new()), language, "{locale}");
        }
        let french = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static("fr-CH"))]);
        assert_eq!(Language::of("pl", &french), Language::French, "ours before none");
        assert_eq!(
            Language::of("de", &french),
            Language::German,
            "the customer's before the browser's"
        );
    }

    #[test]
    fn a_browser_is_answered_in_the_first_language_that_we_speak() {
        let cases = [
            ("pl, fr;q=0.8, de;q=0.7", Language::French),
            ("*", Language::English),
            ("es-MX", Language::Spanish),
        ];
        for (accepted, language) in cases {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static(accepted))]);
            assert_eq!(Language::accepted(&headers), language, "{accepted}");
        }
        assert_eq!(Language::accepted(&HeaderMap::new()), Language::English);
    }
}
