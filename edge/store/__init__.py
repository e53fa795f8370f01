"""Models at hand: where they are kept, which published ones can be fetched, and the fetching."""
