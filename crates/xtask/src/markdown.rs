//! The little of Markdown the checks read: code spans, link targets, tables. Fenced blocks are
//! left out.

/// A piece of text and the line it is on, from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Spot {
    /// The text, without its marks.
    pub text: String,
    /// Where.
    pub line: usize,
}

/// A table: its header and its rows of cells.
#[derive(Debug)]
pub struct Table {
    /// The cells of the first line.
    pub header: Vec<String>,
    /// The cells of the others, with their lines.
    pub rows: Vec<(usize, Vec<String>)>,
}

/// Lines outside fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// What stands between backticks in one line.
pub fn codes(line: &str) -> impl Iterator<Item = &str> {
    let closed = line.matches('`').count() / 2;
    line.split('`').skip(1).step_by(2).take(closed).filter(|code| !code.is_empty())
}

/// Every code span.
pub fn code_spans(text: &str) -> Vec<Spot> {
    let spots = |(line, words): (usize, &str)| -> Vec<Spot> {
        codes(words).map(|code| Spot { text: code.to_owned(), line }).collect()
    };
    prose(text).flat_map(spots).collect()
}

/// The target of every `[text](target)` within the repository, without its `#anchor`.
pub fn links(text: &str) -> Vec<Spot> {
    let mut spots = Vec::new();
    for (line, words) in prose(text) {
        for after in words.split("](").skip(1) {
            let target = after.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                spots.push(Spot { text: target.to_owned(), line });
            }
        }
    }
    spots
}

/// Every table.
pub fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut above: Option<Vec<String>> = None;
    let mut inside = false;
    for (line, words) in prose(text) {
        let Some(cells) = cells(words) else {
            (above, inside) = (None, false);
            continue;
        };
        match (is_rule(&cells), above.take(), inside) {
            (true, Some(header), false) => {
                tables.push(Table { header, rows: Vec::new() });
                inside = true;
            }
            (_, _, true) => {
                if let Some(table) = tables.last_mut() {
                    table.rows.push((line, cells));
                }
            }
            _ => above = Some(cells),
        }
    }
    tables
}

/// The cells of `| a | b |`; a `|` between backticks or after `\` does not divide.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?;
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    let mut cells = vec![String::new()];
    let (mut code, mut escaped) = (false, false);
    for c in inner.chars() {
        code ^= c == '`';
        if c == '|' && !code && !escaped {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
        escaped = c == '\\';
    }
    Some(cells.iter().map(|cell| cell.trim().to_owned()).collect())
}

/// `|---|:-:|`
fn is_rule(cells: &[String]) -> bool {
    cells.iter().all(|cell| cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_spans_and_links_outside_fences() {
        let text = "a `b` and `c d` [e](f.md#g) [h](https://i)\n```\n`j` [k](l)\n```\n`m` odd ` end";
        let spot = |text: &str, line| Spot { text: text.to_owned(), line };
        assert_eq!(code_spans(text), [spot("b", 1), spot("c d", 1), spot("m", 5)]);
        assert_eq!(links(text), [spot("f.md", 1)]);
    }

    #[test]
    fn tables_keep_bars_in_code() {
        let text = "x\n\n| A | Test |\n|---|:--|\n| one | `a|b` |\n| two | c \\| d |\n\nno table | here";
        let tables = tables(text);
        assert_eq!(tables.len(), 1);
        assert_eq!(tables[0].header, ["A", "Test"]);
        let rows: Vec<_> = tables[0].rows.iter().map(|(n, c)| (*n, c[1].as_str())).collect();
        assert_eq!(rows, [(5, "`a|b`"), (6, "c \\| d")]);
    }
}
