"""What is read and written without torch: ID lists, records, the request book, publication, locks."""
