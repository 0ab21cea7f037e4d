"""What a build takes from elsewhere: files from web servers, commits from git servers, and the addresses of both."""
