"""Events of a folder as Instaloader writes it: profiles, posts, pictures, and lists of follows."""
