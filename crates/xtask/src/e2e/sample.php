<?php
$endpoint_secret = "whsec_...";

$payload = @file_get_contents("php://input");
$sig_header = $_SERVER["HTTP_X_KASKO_SIGNATURE"];

$hash = 'sha1=' . hash_hmac('sha1', $payload, $endpoint_secret);

if ($hash !== $sig_header) {
    // Then the request did not came from KASKO and should be dropped.
}

// Do something with $event

http_response_code(200); // PHP 5.4 or greater
