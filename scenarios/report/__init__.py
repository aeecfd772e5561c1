"""Reports on run folders, for people: one page that stands alone, and ten lines for the terminal."""
