"""The Dockerfile language as text and values: logical lines, instructions, expansion, ignore rules. Nothing here runs."""
