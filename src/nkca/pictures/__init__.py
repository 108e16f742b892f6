"""Pictures that people see: grids, PNG files, animations, figures."""
