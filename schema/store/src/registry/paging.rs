//! Lists are read page by page, by id: what is added or deleted meanwhile neither repeats nor
//! hides what was there all along.

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Beyond this id; absent: from the start.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl PageRequest {
    /// The most that a page may hold.
    pub const MAX_LIMIT: usize = 1_000;

    /// The first page.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// The id beyond which the page begins; every id is beyond the empty text.
    pub(crate) fn beyond(&self) -> &str {
        self.after.as_deref().unwrap_or("")
    }

    /// The limit, within its bounds.
    pub(crate) fn bounded(&self) -> usize {
        self.limit.clamp(1, Self::MAX_LIMIT)
    }

    /// How many rows to read: one more than the page holds shows whether there is another page.
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.bounded() + 1).unwrap_or(i64::MAX)
    }
}

/// One page of a list, ascending by id.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to pass as `after` for the next page; absent on the last.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// Cuts what `PageRequest::rows` read to a page.
    pub(crate) fn of(mut items: Vec<T>, request: &PageRequest, id: impl Fn(&T) -> String) -> Self {
        let is_last = items.len() <= request.bounded();
        items.truncate(request.bounded());
        let next = if is_last { None } else { items.last().map(id) };
        Self { items, next }
    }
}
