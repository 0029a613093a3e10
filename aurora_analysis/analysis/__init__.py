"""Pure analyses, one topic each: frames or observations in, frames and verdicts out."""
