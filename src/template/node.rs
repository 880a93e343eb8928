//! YAML events to a tree that knows its positions. Everything that two readers could understand differently is refused.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::Value;

use super::fault::{Fault, Position, TemplateRule};
use super::scalar;

/// Nesting of mappings and lists.
const DEEPEST: usize = 64;

/// A YAML node and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    /// `!Ref` and the like.
    pub(super) tag: Option<String>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// Text, and whether it was written without quotes.
    Scalar(String, bool),
    List(Vec<Node>),
    /// In the order of the file; keys are scalars.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value under `key`, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(name, _)| name.text() == Some(key))
            .map(|(_, value)| value)
    }

    /// The entries, if this is a mapping.
    pub(super) fn entries(&self) -> &[(Node, Node)] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Scalar(..) | Content::List(_) => &[],
        }
    }

    /// The text, if this is a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text, _) => Some(text),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// What this is, for messages.
    pub(super) fn describe(&self) -> String {
        match (&self.tag, &self.content) {
            (Some(tag), _) => format!("the tag {tag}"),
            (None, Content::Map(_)) => "a mapping".to_owned(),
            (None, Content::List(_)) => "a list".to_owned(),
            (None, Content::Scalar(text, true)) if text.is_empty() => "nothing".to_owned(),
            (None, Content::Scalar(text, _)) => format!("{text:?}"),
        }
    }

    /// Where the thing at that path below this node is: a scalar's own place, else that of its key.
    /// Where the path leads to nothing, the nearest that is there.
    pub(super) fn locate<S: AsRef<str>>(&self, path: &[S]) -> Position {
        let mut position = self.position;
        let mut node = self;
        for segment in path {
            let segment = segment.as_ref();
            match &node.content {
                Content::Map(entries) => {
                    let Some((key, value)) = entries.iter().find(|(key, _)| key.text() == Some(segment)) else {
                        break;
                    };
                    position = if value.text().is_some() {
                        value.position
                    } else {
                        key.position
                    };
                    node = value;
                }
                Content::List(items) => {
                    let Some(item) = segment.parse::<usize>().ok().and_then(|place| items.get(place)) else {
                        break;
                    };
                    position = item.position;
                    node = item;
                }
                Content::Scalar(..) => break,
            }
        }
        position
    }

    /// The node as JSON, for bodies that are plain data.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(text, true) => scalar::to_json(text),
            Content::Scalar(text, false) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                let keyed = entries
                    .iter()
                    .map(|(key, value)| (key.text().unwrap_or_default().to_owned(), value.to_json()));
                Value::Object(keyed.collect())
            }
        }
    }
}

/// Reads one YAML document.
pub(super) fn read(text: &str) -> Result<Node, Vec<Fault>> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                if reader.take(event, span).is_break() {
                    return Err(reader.faults);
                }
            }
            Err(error) => {
                let position = Position::from(*error.marker());
                // The scanner looks ahead and stops by itself at some depth beyond ours.
                let (rule, message) = match error.info() {
                    "recursion limit exceeded" => {
                        (TemplateRule::TooDeep, format!("nested deeper than {DEEPEST} levels"))
                    }
                    info => (TemplateRule::NotYaml, format!("not YAML: {info}")),
                };
                reader.faults.push(Fault::new(position, rule, message));
                return Err(reader.faults);
            }
        }
    }
    match reader.root {
        Some(root) if reader.faults.is_empty() => Ok(root),
        Some(_) => Err(reader.faults),
        None => Err(vec![Fault::new(
            Position::START,
            TemplateRule::EmptyFile,
            "the file is empty, expected a template",
        )]),
    }
}

/// A mapping or list that is still open.
enum Open {
    List(Vec<Node>),
    Map {
        entries: Vec<(Node, Node)>,
        key: Option<Node>,
        seen: BTreeMap<String, Position>,
    },
}

#[derive(Default)]
struct Reader {
    open: Vec<(Position, Option<String>, Open)>,
    root: Option<Node>,
    faults: Vec<Fault>,
    documents: usize,
}

/// Whether reading goes on.
type Flow = std::ops::ControlFlow<()>;

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Flow {
        let position = Position::from(span.start);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.stop(
                        position,
                        TemplateRule::SecondDocument,
                        "a second document, expected one template in the file",
                    );
                }
            }
            Event::Alias(_) => {
                self.refuse(
                    position,
                    TemplateRule::Alias,
                    "an alias, expected the value itself: CloudFormation refuses aliases",
                );
                self.put(Node {
                    position,
                    tag: None,
                    content: Content::Scalar(String::new(), true),
                });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_anchor(anchor, position);
                let content = Content::Scalar(text.into_owned(), style == ScalarStyle::Plain);
                self.put(Node {
                    position,
                    tag: tag.as_deref().map(name),
                    content,
                });
            }
            Event::SequenceStart(anchor, tag) => {
                return self.begin(anchor, tag.as_deref().map(name), position, Open::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                let map = Open::Map {
                    entries: Vec::new(),
                    key: None,
                    seen: BTreeMap::new(),
                };
                return self.begin(anchor, tag.as_deref().map(name), position, map);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Flow::Continue(())
    }

    fn begin(&mut self, anchor: usize, tag: Option<String>, position: Position, open: Open) -> Flow {
        self.refuse_anchor(anchor, position);
        if self.open.len() == DEEPEST {
            return self.stop(
                position,
                TemplateRule::TooDeep,
                &format!("nested deeper than {DEEPEST} levels"),
            );
        }
        self.open.push((position, tag, open));
        Flow::Continue(())
    }

    fn end(&mut self) {
        let Some((position, tag, open)) = self.open.pop() else {
            return;
        };
        let content = match open {
            Open::List(items) => Content::List(items),
            Open::Map { entries, .. } => Content::Map(entries),
        };
        self.put(Node { position, tag, content });
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((_, _, Open::List(items))) => items.push(node),
            Some((_, _, Open::Map { entries, key, seen })) => match key.take() {
                Some(name) => entries.push((name, node)),
                None => {
                    self.faults.extend(check_key(&node, seen));
                    *key = Some(node);
                }
            },
        }
    }

    fn refuse_anchor(&mut self, anchor: usize, position: Position) {
        if anchor != 0 {
            self.refuse(
                position,
                TemplateRule::Anchor,
                "an anchor, expected plain data: CloudFormation refuses aliases",
            );
        }
    }

    fn refuse(&mut self, position: Position, rule: TemplateRule, message: &str) {
        self.faults.push(Fault::new(position, rule, message));
    }

    fn stop(&mut self, position: Position, rule: TemplateRule, message: &str) -> Flow {
        self.refuse(position, rule, message);
        Flow::Break(())
    }
}

fn check_key(key: &Node, seen: &mut BTreeMap<String, Position>) -> Option<Fault> {
    let Some(text) = key.text() else {
        return Some(Fault::new(
            key.position,
            TemplateRule::KeyNotText,
            format!("{} as a key, expected text", key.describe()),
        ));
    };
    if text == "<<" && matches!(key.content, Content::Scalar(_, true)) {
        return Some(Fault::new(
            key.position,
            TemplateRule::MergeKey,
            "a merge key, expected the entries themselves",
        ));
    }
    match seen.get(text) {
        Some(first) => {
            let message = format!("the key {text} is there twice, first in line {}", first.line);
            Some(Fault::new(key.position, TemplateRule::DuplicateKey, message))
        }
        None => {
            seen.insert(text.to_owned(), key.position);
            None
        }
    }
}

fn name(tag: &Tag) -> String {
    tag.to_string()
}
