//! The machine that a worker is on.

/// Its name; `localhost` where it does not tell.
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Of the last one, five and fifteen minutes; zeros where the machine does not tell.
pub fn load_average() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}
