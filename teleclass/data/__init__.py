"""What users give: the taxonomy, the documents, and (kept apart) the gold labels."""
