//! A watermark in the pixels, by a program of the user's choice: none is shipped, because the good ones bring networks of their own,
//! and because a watermark changes what an audited classifier sees.

use super::encode::encode_png;
use super::ended::Ended;
use domain::record::NO_WATERMARK;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What puts a watermark into images.
#[derive(Clone, Debug, Default)]
pub enum Watermarker {
    /// Nothing.
    #[default]
    None,
    /// A program.
    Command(Arc<Program>),
}

/// A program that gets a PNG on its standard input and answers with one of the same size.
#[derive(Debug)]
pub struct Program {
    command: String,
    name: String,
}

impl Watermarker {
    /// The program that `sh -c command` runs; records call it `name`.
    pub fn command(command: String, name: Option<String>) -> Self {
        let name = name.unwrap_or_else(|| command.clone());
        Self::Command(Arc::new(Program { command, name }))
    }

    /// What records call it.
    pub fn name(&self) -> &str {
        match self {
            Self::None => NO_WATERMARK,
            Self::Command(program) => &program.name,
        }
    }

    /// The raster `[side * side * 3]` (RGB8) with the watermark; none where nothing puts one in.
    ///
    /// # Errors
    /// When the program fails, or answers with something else than a picture of that size.
    pub async fn mark(&self, side: u32, raster: &[u8]) -> Result<Option<Vec<u8>>, Ended> {
        let Self::Command(program) = self else { return Ok(None) };
        let png = encode_png(side, side, raster).map_err(Ended::internal)?;
        let program = Arc::clone(program);
        let marked = tokio::task::spawn_blocking(move || program.run(side, &png)).await.map_err(Ended::internal)?;
        marked.map(Some).map_err(|detail| Ended::internal(format!("the watermark is not put in: {detail}")))
    }
}

impl Program {
    fn run(&self, side: u32, png: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |what: &dyn std::fmt::Display| format!("'{}' {what}", self.command);
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().map_err(|error| failed(&error))?;
        let mut input = child.stdin.take().ok_or_else(|| failed(&"takes no input"))?;
        // Beside the reading: a picture is larger than what a pipe holds.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(png));
            child.wait_with_output()
        });
        let output = output.map_err(|error| failed(&error))?;
        if !output.status.success() {
            let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(200).collect();
            return Err(failed(&format!("ended with {}: {said}", output.status)));
        }
        let answer =
            credentials::raster::decode(&output.stdout).map_err(|e| failed(&format!("answered no picture: {e}")))?;
        match answer {
            (width, height, pixels) if (width, height) == (side, side) => Ok(pixels),
            (width, height, _) => {
                Err(failed(&format!("answered a picture of {width} x {height}, not {side} x {side}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_marks_pictures_or_says_why_not() {
        let raster = vec![9; 4 * 4 * 3];
        let mark = async |command: &str| Watermarker::command(command.to_owned(), None).mark(4, &raster).await;
        assert_eq!(mark("cat").await.unwrap(), Some(raster.clone()));
        assert_eq!(Watermarker::None.mark(4, &raster).await.unwrap(), None);
        for (command, word) in
            [("echo no model >&2; exit 1", "no model"), ("echo x", "no picture"), ("true", "no picture")]
        {
            let Err(Ended::Failed { detail, .. }) = mark(command).await else { panic!("{command}") };
            assert!(detail.contains(word), "{detail}");
        }
    }
}
