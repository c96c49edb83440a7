"""The students' workbooks, and how their warehouses are graded."""
