"""Pictures that people see: grids, PNG files, animations, figures."""

METADATA_KEY = "nkca"  # the text chunk of a PNG that holds how it was made
