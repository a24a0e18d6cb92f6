"""The report card of any model, features of the user's own data, and exploring them."""
