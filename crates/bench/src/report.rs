//! Figures and how they are shown: an aligned table for people, one JSON object a line for programs.

use serde::Serialize;

use crate::measure::geometric_mean;

/// One measured quantity. `ratio` is ours to the peer's: below 1 is better, whatever the unit.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) ours: Option<f64>,
    pub(crate) peer: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) native: Option<f64>,
    /// Ours, counting what it executes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metered: Option<f64>,
    /// The peer's, taking fuel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fuel: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) runs: usize,
}

impl Figure {
    /// A figure of both engines; the ratio follows.
    pub(crate) fn new(name: String, ours: Option<f64>, peer: Option<f64>, unit: &'static str, runs: usize) -> Figure {
        let ratio = ours.zip(peer).map(|(ours, peer)| ours / peer);
        Figure { name, ours, peer, native: None, metered: None, fuel: None, ratio, unit, runs }
    }

    /// The same with native code as the limit beside it.
    pub(crate) fn with_native(mut self, native: f64) -> Figure {
        self.native = Some(native);
        self
    }

    /// The same with metered code of both engines.
    pub(crate) fn with_metered(mut self, ours: f64, peer: f64) -> Figure {
        (self.metered, self.fuel) = (Some(ours), Some(peer));
        self
    }

    /// The geometric means of figures in one unit; none where a column is empty anywhere.
    pub(crate) fn mean(name: String, figures: &[Figure]) -> Option<Figure> {
        let first = figures.first()?;
        let column = |pick: fn(&Figure) -> Option<f64>| {
            let values: Option<Vec<f64>> = figures.iter().map(pick).collect();
            values.and_then(geometric_mean)
        };
        let mut mean = Figure::new(name, column(|f| f.ours), column(|f| f.peer), first.unit, first.runs);
        mean.native = column(|f| f.native);
        mean.metered = column(|f| f.metered);
        mean.fuel = column(|f| f.fuel);
        Some(mean)
    }
}

/// Collects figures and prints them in the form that was asked for.
pub(crate) struct Report {
    json: bool,
    title: &'static str,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty report; `title` heads the table.
    pub(crate) fn new(title: &'static str, json: bool) -> Report {
        Report { json, title, figures: Vec::new() }
    }

    /// Adds a figure: JSON is printed at once, the table waits for its widths.
    pub(crate) fn add(&mut self, figure: Figure) {
        if self.json {
            println!("{}", serde_json::to_string(&figure).expect("a figure has only numbers and names"));
        }
        self.figures.push(figure);
    }

    /// The figures so far.
    pub(crate) fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// A remark for the reader of the table; with JSON it goes to standard error.
    pub(crate) fn note(&self, text: &str) {
        if self.json {
            eprintln!("bench: {text}");
        } else {
            println!("  {text}");
        }
    }

    /// Prints the table, if one was asked for.
    pub(crate) fn finish(self) {
        if !self.json {
            print!("{}", table(self.title, &self.figures));
        }
    }
}

const COLUMNS: usize = 13;
const HEADS: [&str; COLUMNS] = [
    "",
    "ours",
    "peer",
    "native",
    "metered",
    "fuel",
    "unit",
    "ours/peer",
    "ours/native",
    "peer/native",
    "metered/ours",
    "fuel/peer",
    "runs",
];

fn table(title: &str, figures: &[Figure]) -> String {
    let rows: Vec<[String; COLUMNS]> = figures.iter().map(row).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([HEADS[column].len()]).max().unwrap_or(0)
    };
    let shown: Vec<usize> = (0..HEADS.len()).filter(|&column| rows.iter().any(|row| row[column] != "–")).collect();
    let line = |cells: &dyn Fn(usize) -> String| {
        let mut line = String::from(" ");
        for &column in &shown {
            let (cell, width) = (cells(column), width(column));
            let padded = if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            line = line + " " + &padded + " ";
        }
        line.trim_end().to_owned() + "\n"
    };
    let mut out = format!("\n{title}\n\n{}", line(&|column| HEADS[column].to_owned()));
    for row in &rows {
        out += &line(&|column| row[column].clone());
    }
    out
}

fn row(figure: &Figure) -> [String; COLUMNS] {
    let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map_or("–".to_owned(), |(a, b)| format!("{:.2}", a / b));
    [
        figure.name.clone(),
        number(figure.ours),
        number(figure.peer),
        number(figure.native),
        number(figure.metered),
        number(figure.fuel),
        figure.unit.to_owned(),
        ratio(figure.ours, figure.peer),
        ratio(figure.ours, figure.native),
        ratio(figure.peer, figure.native),
        ratio(figure.metered, figure.ours),
        ratio(figure.fuel, figure.peer),
        figure.runs.to_string(),
    ]
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(x) if x >= 100.0 => format!("{x:.0}"),
        Some(x) if x >= 10.0 => format!("{x:.1}"),
        Some(x) => format!("{x:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_agreed_fields() {
        let figure = Figure::new("code/x".into(), Some(2.0), Some(4.0), "ms", 5).with_native(1.0);
        let json = serde_json::to_string(&figure).unwrap();
        let expected = r#"{"name":"code/x","ours":2.0,"peer":4.0,"native":1.0,"ratio":0.5,"unit":"ms","runs":5}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_table_leaves_out_empty_columns() {
        let figures = [Figure::new("call/x".into(), None, Some(4.0), "ns", 5)];
        let expected = "\nCalls\n\n          peer  unit  runs\n  call/x  4.00    ns     5\n";
        assert_eq!(table("Calls", &figures), expected);
    }

    #[test]
    fn the_mean_of_ratios_is_the_ratio_of_means() {
        let a = Figure::new("a".into(), Some(1.0), Some(2.0), "ms", 5);
        let b = Figure::new("b".into(), Some(8.0), Some(2.0), "ms", 5);
        let mean = Figure::mean("mean".into(), &[a, b]).unwrap();
        assert!((mean.ratio.unwrap() - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(mean.native, None);
    }
}
