"""Valid workbooks, changed at random in their bytes, their zip and their XML, and what becomes of them."""
