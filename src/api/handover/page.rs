//! The two pages in four languages. Nothing on them says who, where or what.

use crate::api::confirm::{Language, document};

/// What a page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// To the customer: six digits.
    Code(String),
    Question,
    Taken,
    Wrong(i64),
    Locked,
    Unknown,
    NotUnderstood,
    Unavailable,
}

struct Texts {
    title: &'static str,
    your_code: &'static str,
    say_it: &'static str,
    question: &'static str,
    send: &'static str,
    taken: &'static str,
    wrong: &'static str,
    left: &'static str,
    locked: &'static str,
    unknown: &'static str,
    not_understood: &'static str,
    unavailable: &'static str,
}

fn texts(language: Language) -> Texts {
    match language {
        Language::English => Texts {
            title: "Contactless handover",
            your_code: "Your code",
            say_it: "Say it to the courier when your books are at your door, and not before. Nobody asks for it by telephone.",
            question: "The customer’s code, six digits",
            send: "Confirm",
            taken: "Thank you. The handover is confirmed.",
            wrong: "That is not the code.",
            left: "Tries left:",
            locked: "The code was wrong too often. Somebody will look into it.",
            unknown: "There is nothing here, or its time is over.",
            not_understood: "A code has six digits.",
            unavailable: "That does not work at the moment. Please try again in a few minutes.",
        },
        Language::German => Texts {
            title: "Kontaktlose Übergabe",
            your_code: "Ihr Code",
            say_it: "Nennen Sie ihn dem Boten, wenn Ihre Bücher vor der Tür liegen, und nicht früher. Niemand fragt am Telefon danach.",
            question: "Der Code der Kundin oder des Kunden, sechs Ziffern",
            send: "Bestätigen",
            taken: "Vielen Dank. Die Übergabe ist bestätigt.",
            wrong: "Das ist nicht der Code.",
            left: "Verbleibende Versuche:",
            locked: "Der Code war zu oft falsch. Wir kümmern uns darum.",
            unknown: "Hier ist nichts, oder die Zeit ist abgelaufen.",
            not_understood: "Ein Code hat sechs Ziffern.",
            unavailable: "Das geht im Augenblick nicht. Bitte versuchen Sie es in einigen Minuten noch einmal.",
        },
        Language::French => Texts {
            title: "Remise sans contact",
            your_code: "Votre code",
            say_it: "Dites-le au livreur quand vos livres sont devant votre porte, et pas avant. Personne ne le demande par téléphone.",
            question: "Le code du client, six chiffres",
            send: "Confirmer",
            taken: "Merci. La remise est confirmée.",
            wrong: "Ce n’est pas le code.",
            left: "Essais restants :",
            locked: "Le code a été faux trop souvent. Nous nous en occupons.",
            unknown: "Il n’y a rien ici, ou le délai est passé.",
            not_understood: "Un code a six chiffres.",
            unavailable: "Cela ne marche pas pour le moment. Veuillez réessayer dans quelques minutes.",
        },
        Language::Spanish => Texts {
            title: "Entrega sin contacto",
            your_code: "Su código",
            say_it: "Dígaselo al repartidor cuando sus libros estén ante su puerta, y no antes. Nadie lo pide por teléfono.",
            question: "El código del cliente, seis cifras",
            send: "Confirmar",
            taken: "Gracias. La entrega está confirmada.",
            wrong: "Ese no es el código.",
            left: "Intentos restantes:",
            locked: "El código ha sido incorrecto demasiadas veces. Nos ocupamos de ello.",
            unknown: "Aquí no hay nada, o ha caducado.",
            not_understood: "Un código tiene seis cifras.",
            unavailable: "En este momento no funciona. Inténtelo de nuevo dentro de unos minutos.",
        },
    }
}

/// The page as HTML. What varies are digits, so there is nothing to escape.
pub(super) fn render(language: Language, page: &Page) -> String {
    let texts = texts(language);
    let said = |text: &str| format!("<h1 id=\"said\">{text}</h1>");
    let body = match page {
        Page::Code(code) => format!(
            "{}<p class=\"code\" role=\"img\" aria-label=\"{}\">{code}</p><p>{}</p>",
            said(texts.your_code),
            spelt(code),
            texts.say_it
        ),
        Page::Question => format!("{}{}", said(texts.title), form(&texts)),
        Page::Wrong(left) => format!(
            "{}<p role=\"alert\">{} {} {left}</p>{}",
            said(texts.title),
            texts.wrong,
            texts.left,
            form(&texts)
        ),
        Page::NotUnderstood => format!(
            "{}<p role=\"alert\">{}</p>{}",
            said(texts.title),
            texts.not_understood,
            form(&texts)
        ),
        Page::Taken => said(texts.taken),
        Page::Locked => said(texts.locked),
        Page::Unknown => said(texts.unknown),
        Page::Unavailable => said(texts.unavailable),
    };
    document(language, texts.title, &body)
}

fn form(texts: &Texts) -> String {
    format!(
        "<form method=\"post\" class=\"entry\"><label for=\"code\">{}</label>\
         <input id=\"code\" name=\"code\" inputmode=\"numeric\" autocomplete=\"off\" maxlength=\"11\" required autofocus>\
         <button>{}</button></form>",
        texts.question, texts.send
    )
}

/// Digit by digit, for those who hear the page.
fn spelt(code: &str) -> String {
    let digits: Vec<_> = code.chars().map(String::from).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_speaks_every_language_and_loads_nothing() {
        let mut seen = std::collections::BTreeSet::new();
        let pages = [
            Page::Code("012345".to_owned()),
            Page::Question,
            Page::Taken,
            Page::Wrong(3),
            Page::Locked,
            Page::Unknown,
            Page::NotUnderstood,
            Page::Unavailable,
        ];
        for language in Language::ALL {
            for page in &pages {
                let html = render(language, page);

                assert!(
                    html.contains(&format!("<html lang=\"{}\">", language.as_str())),
                    "{page:?}"
                );
                for outside in ["http", "src=", "href=", "url(", "<script"] {
                    assert!(!html.contains(outside), "{outside} in {page:?}");
                }
                assert_eq!(
                    html.contains("<input"),
                    html.contains("<label for=\"code\">"),
                    "{page:?}"
                );
                assert!(seen.insert(html), "{language:?} says {page:?} as another page does");
            }
        }
        assert_eq!(seen.len(), 32);
    }
}
