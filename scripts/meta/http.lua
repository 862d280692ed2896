---@meta hone.http
--- HTTP and HTTPS over libcurl: requests, and downloads that survive interruptions.
---
--- libcurl is opened by the first request, not by `require`. Where it is missing, every function answers
--- nil, a line that says what to install, and "ENOLIB"; the environment variable HONE_LIBCURL names
--- another library file than the system's libcurl.so.4.
---
--- A status of 400 or more is a response, with `ok` false; only `http.download` takes it as a failure.
--- What keeps a response from coming is nil, one line saying what was tried, how often and why, and a
--- code: "ENOTFOUND" (no such host), "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ECLOSED" (closed before
--- an answer, or in the middle of it), "ECERT" (a certificate nobody vouches for), "ETLS", "EPROTO" (not
--- HTTP), "EFBIG" (larger than max_size), "EREDIRECT" (too many, or to something else than http and
--- https), "EURL". A mistake in the options is raised.
---
--- Connections refused, reset or closed early, timeouts, and the statuses 408, 429, 500, 502, 503 and 504
--- are tried again, never for POST and PATCH unless `idempotent` is set. Before each new attempt comes a
--- random share of a delay that doubles, or what the server's Retry-After asks for.
---
--- A token is sent to the scheme, host and port of the address it was given for, and to nobody else:
--- a redirect to another one goes without it, without the address's user and password, and without
--- the caller's own headers save harmless ones such as Accept and Range. No message holds a token, the
--- credentials of an address, or its query.
---
--- Proxies are the environment's (http_proxy, https_proxy, no_proxy), as curl reads them. Certificates
--- are checked against the system's, or the file that CURL_CA_BUNDLE or SSL_CERT_FILE names. Ctrl-C ends
--- any wait within a tenth of a second.
local http = {}

--- What a request may be told.
---@class hone.http.Options
---@field method? string in capital letters; GET unless given, POST where there is a body
---@field headers? table<string, string|number>
---@field body? string any bytes
---@field json? any sent as the body, encoded, with its content type
---@field token? string sent as "Authorization: Bearer ..."
---@field timeout? number seconds of silence after which to give up, 60 unless given
---@field connect_timeout? number seconds until connected, 15 unless given
---@field total_timeout? number seconds for one exchange, silent or not; no bound unless given
---@field max_redirects? integer 10 unless given
---@field follow? boolean|"same-origin" false: a redirect is the response; "same-origin": one elsewhere is
---@field max_size? integer bytes of body, once unpacked; no bound unless given
---@field retries? integer attempts after the first, 3 unless given
---@field retry_delay? number seconds; the first delay is at most this, 0.5 unless given
---@field max_retry_delay? number seconds; no delay is longer, whoever asks, 60 unless given
---@field idempotent? boolean a POST may be sent more than once
---@field proxy? string an address; "" for none, whatever the environment says
---@field ca? string a file of certificates to trust
---@field insecure? boolean do not check certificates
---@field on_progress? fun(done: integer, total: integer?) bytes of body; total is nil where unknown
---@field on_retry? fun(reason: string, seconds: number, attempt: integer) called before each wait

--- Options of `http.request`, which takes the address as one of them.
---@class hone.http.RequestOptions: hone.http.Options
---@field url string

--- Options of `http.download`: those of a request, and what the file must be.
---@class hone.http.DownloadOptions: hone.http.Options
---@field sha256? string 64 hexadecimal digits that the file must have
---@field size? integer bytes that the file must have
---@field etag? string the ETag of the file that is there; when it still holds nothing is fetched
---@field resume? boolean go on with an earlier partial file, and leave one on failure; true unless given
---@field check? fun(path: string): any, string? sees the file before it gets its name; nil, reason refuses it

--- What a server answered.
---@class hone.http.Response
---@field status integer
---@field ok boolean status is below 400
---@field headers table<string, string> names in lower case; repeated headers are joined with ", "
---@field body string
---@field url string the address that answered, after redirects and without credentials
---@field redirects { status: integer, headers: table<string, string>, url: string }[] what led there
---@field attempts integer
---@field seconds number all attempts and waits together
---@field retry_after? integer seconds the server asks to be left alone

--- What came of a download.
---@class hone.http.Downloaded
---@field path? string the file
---@field not_modified? boolean true: the etag still holds, and the file was left as it is
---@field status integer
---@field headers table<string, string>
---@field url? string
---@field redirects? table[]
---@field resumed_from? integer bytes that came in an earlier attempt or run
---@field seconds number

--- Fetch an address.
---@param url string http or https; user and password in it are sent as basic authentication
---@param opts? hone.http.Options
---@return hone.http.Response? response
---@return string? message
---@return string? code
function http.get(url, opts) end

--- Send a body to an address. It is sent once, unless `idempotent` is set.
---@param url string
---@param body? string any bytes; nil with option json
---@param opts? hone.http.Options
---@return hone.http.Response? response
---@return string? message
---@return string? code
function http.post(url, body, opts) end

--- Make any request; the address is option `url`.
---@param opts hone.http.RequestOptions
---@return hone.http.Response? response
---@return string? message
---@return string? code
function http.request(opts) end

--- Fetch an address into a file, in constant memory. Folders above it are made.
---
--- What comes is written to PATH.part, and PATH.part.etag remembers of which content it is the
--- beginning. The file gets its name once it is complete and has the length, sha256 and content asked for;
--- until then an older file stays as it is. A failure leaves the partial file for the next call to go
--- on with, in the same run or another, unless nothing would show that the rest belongs to it (the server
--- sends neither ETag nor Last-Modified, and no sha256 is given). A server that ignores ranges, refuses
--- the range or has other content by now is asked for the whole. Two processes may fetch the same
--- file at once: the second writes a partial file of its own.
---
--- Further codes: "HTTP404" and so on for statuses that bring no file, "ECHECKSUM" (other size or sha256),
--- "ECONTENT" (refused by `check`), and those of the file system.
---@param url string
---@param path string
---@param opts? hone.http.DownloadOptions
---@return hone.http.Downloaded? result
---@return string? message
---@return string? code
function http.download(url, path, opts) end

--- The version of libcurl and of the libraries it uses, as "libcurl/8.5.0 OpenSSL/3.0.13 ...".
---@return string? version
---@return string? message
---@return string? code
function http.version() end

return http
