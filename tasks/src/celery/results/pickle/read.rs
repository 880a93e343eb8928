//! Reading: a machine with a stack, a memory, and no way to call anything.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// The most values that are read, and how deep they may lie: one that is remembered can stand in many places.
const MOST: usize = 1_000_000;
const DEEPEST: usize = 128;

/// Why a pickle is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSimple {
    /// It names classes, functions or values that JSON has not.
    #[error("the pickle holds more than plain values")]
    Foreign,
    /// It ends early, or says what cannot be.
    #[error("the pickle is broken")]
    Broken,
    /// It grows beyond all measure.
    #[error("the pickle is too large")]
    TooLarge,
}

/// Reads a pickle of plain values, protocols 0 to 5. Tuples are lists.
pub fn from_bytes(bytes: &[u8]) -> Result<Value, NotSimple> {
    let mut machine = Machine {
        bytes,
        ..Machine::default()
    };
    let root = machine.run()?;
    machine.value(root, 0)
}

enum Node {
    Value(Value),
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memory: BTreeMap<usize, usize>,
    made: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<usize, NotSimple> {
        loop {
            match self.byte()? {
                b'.' => return self.pop(),
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                code => self.step(code)?,
            }
        }
    }

    fn step(&mut self, code: u8) -> Result<(), NotSimple> {
        match code {
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::Null),
            0x88 => self.push(true.into()),
            0x89 => self.push(false.into()),
            b'I' | b'L' | b'J' | b'K' | b'M' | 0x8a | 0x8b | b'F' | b'G' => {
                let number = self.number(code)?;
                self.push(number);
            }
            b'V' | b'X' | 0x8c | 0x8d => {
                let text = self.text(code)?;
                self.push(text.into());
            }
            b']' | b')' => self.push_node(Node::List(Vec::new())),
            b'}' => self.push_node(Node::Dict(Vec::new())),
            b'l' | b't' => {
                let items = self.marked()?;
                self.push_node(Node::List(items));
            }
            0x85..=0x87 => {
                let from = self
                    .stack
                    .len()
                    .checked_sub(usize::from(code - 0x84))
                    .ok_or(NotSimple::Broken)?;
                let items = self.stack.split_off(from);
                self.push_node(Node::List(items));
            }
            b'd' => {
                let entries = pairs(&self.marked()?)?;
                self.push_node(Node::Dict(entries));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let entries = pairs(&self.marked()?)?;
                self.set(entries)?;
            }
            b'0' => drop(self.pop()?),
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(code)?,
            _ => return Err(NotSimple::Foreign),
        }
        Ok(())
    }

    fn number(&mut self, code: u8) -> Result<Value, NotSimple> {
        Ok(match code {
            b'I' => match self.line()?.as_str() {
                "01" => true.into(),
                "00" => false.into(),
                text => text.parse::<i64>().map_err(|_| NotSimple::Foreign)?.into(),
            },
            b'L' => integer(
                self.line()?
                    .trim_end_matches('L')
                    .parse()
                    .map_err(|_| NotSimple::Foreign)?,
            )?,
            b'J' => i32::from_le_bytes(self.array()?).into(),
            b'K' => self.byte()?.into(),
            b'M' => u16::from_le_bytes(self.array()?).into(),
            0x8a => {
                let length = self.byte()?;
                integer(self.long(usize::from(length))?)?
            }
            0x8b => {
                let length = self.length()?;
                integer(self.long(length)?)?
            }
            b'F' => float(self.line()?.parse().map_err(|_| NotSimple::Broken)?)?,
            _ => float(f64::from_be_bytes(self.array()?))?,
        })
    }

    /// Two's complement, little end first, of any length.
    fn long(&mut self, length: usize) -> Result<i128, NotSimple> {
        let bytes = self.take(length)?;
        if length > 16 {
            return Err(NotSimple::Foreign);
        }
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
            0xff
        } else {
            0
        };
        let mut whole = [fill; 16];
        whole[..length].copy_from_slice(bytes);
        Ok(i128::from_le_bytes(whole))
    }

    fn text(&mut self, code: u8) -> Result<String, NotSimple> {
        let length = match code {
            b'V' => return unescaped(&self.line()?),
            b'X' => self.length()?,
            0x8c => usize::from(self.byte()?),
            _ => usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| NotSimple::Broken)?,
        };
        let bytes = self.take(length)?.to_vec();
        // Surrogates, which Python writes and UTF-8 has not.
        String::from_utf8(bytes).map_err(|_| NotSimple::Foreign)
    }

    fn remember(&mut self, code: u8) -> Result<(), NotSimple> {
        let place = match code {
            b'p' | b'g' => self.line()?.parse().map_err(|_| NotSimple::Broken)?,
            b'q' | b'h' => usize::from(self.byte()?),
            0x94 => self.memory.len(),
            _ => self.length()?,
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let node = *self.memory.get(&place).ok_or(NotSimple::Broken)?;
            self.stack.push(node);
        } else {
            let top = *self.stack.last().ok_or(NotSimple::Broken)?;
            self.memory.insert(place, top);
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<usize>) -> Result<(), NotSimple> {
        match self.top()? {
            Node::List(list) => list.extend(items),
            _ => return Err(NotSimple::Broken),
        }
        Ok(())
    }

    fn set(&mut self, entries: Vec<(usize, usize)>) -> Result<(), NotSimple> {
        match self.top()? {
            Node::Dict(dict) => dict.extend(entries),
            _ => return Err(NotSimple::Broken),
        }
        Ok(())
    }

    /// Everything since the last mark.
    fn marked(&mut self) -> Result<Vec<usize>, NotSimple> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len());
        Ok(self.stack.split_off(from.ok_or(NotSimple::Broken)?))
    }

    fn push(&mut self, value: Value) {
        self.push_node(Node::Value(value));
    }

    fn push_node(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<usize, NotSimple> {
        self.stack.pop().ok_or(NotSimple::Broken)
    }

    fn top(&mut self) -> Result<&mut Node, NotSimple> {
        let top = *self.stack.last().ok_or(NotSimple::Broken)?;
        Ok(&mut self.nodes[top])
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], NotSimple> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(NotSimple::Broken)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, NotSimple> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotSimple> {
        self.take(N)?.try_into().map_err(|_| NotSimple::Broken)
    }

    fn length(&mut self) -> Result<usize, NotSimple> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| NotSimple::Broken)
    }

    /// Protocol 0 writes Latin-1.
    fn line(&mut self) -> Result<String, NotSimple> {
        let end = self
            .bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(NotSimple::Broken)?;
        let line = self.take(end + 1)?;
        Ok(line[..end].iter().map(|byte| char::from(*byte)).collect())
    }

    /// The finished value: a list may hold what was filled after it.
    fn value(&mut self, node: usize, depth: usize) -> Result<Value, NotSimple> {
        self.made += 1;
        if self.made > MOST || depth > DEEPEST {
            return Err(NotSimple::TooLarge);
        }
        match &self.nodes[node] {
            Node::Value(value) => Ok(value.clone()),
            Node::List(items) => {
                let items = items.clone();
                items.into_iter().map(|item| self.value(item, depth + 1)).collect()
            }
            Node::Dict(entries) => {
                let mut object = Map::new();
                for (key, value) in entries.clone() {
                    let Value::String(key) = self.value(key, depth + 1)? else {
                        return Err(NotSimple::Foreign);
                    };
                    object.insert(key, self.value(value, depth + 1)?);
                }
                Ok(Value::Object(object))
            }
        }
    }
}

fn pairs(items: &[usize]) -> Result<Vec<(usize, usize)>, NotSimple> {
    if !items.len().is_multiple_of(2) {
        return Err(NotSimple::Broken);
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn integer(value: i128) -> Result<Value, NotSimple> {
    let short = i64::try_from(value).map(Value::from);
    short
        .or_else(|_| u64::try_from(value).map(Value::from))
        .map_err(|_| NotSimple::Foreign)
}

fn float(value: f64) -> Result<Value, NotSimple> {
    Number::from_f64(value).map(Value::Number).ok_or(NotSimple::Foreign)
}

/// What is not Latin-1 has a backslash.
fn unescaped(line: &str) -> Result<String, NotSimple> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let digits = match escaped.as_bytes().first() {
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => return Err(NotSimple::Broken),
        };
        let digits = escaped.get(1..=digits).ok_or(NotSimple::Broken)?;
        let code = u32::from_str_radix(digits, 16).map_err(|_| NotSimple::Broken)?;
        out.push(char::from_u32(code).ok_or(NotSimple::Foreign)?);
        rest = &escaped[digits.len() + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
